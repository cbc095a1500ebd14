//! Clients that stay with a task, and the canary's share of them. It reads no cookies (`policy`).
//! Tests: `table/tests.rs`.

use std::sync::Arc;

use havre_api::route_table::UpstreamRole;

use super::NoUpstream;
use crate::table::{Member, Service};
use crate::upstream::{InFlight, Standing, Upstream};

/// Which upstream a request should get, if it can.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'c> {
    /// The task a client stays with.
    pub task: Option<&'c str>,
    /// A number that is the same for all requests of one client.
    pub draw: u64,
}

impl Service {
    /// Picks as [`Service::pick`] does, but the chosen task before all others, and for the canary's share of the
    /// clients one of its tasks. Neither holds for an upstream that is not healthy, drains, or was tried.
    pub fn pick_for(&self, choice: Choice<'_>, avoid: &[Arc<Upstream>], turn: &mut u32) -> Option<InFlight> {
        self.try_pick_for(choice, avoid, turn).ok()
    }

    /// As [`Service::pick_for`], and says why not. A client whose task is full gets another one.
    ///
    /// # Errors
    /// Nobody can take the request.
    pub fn try_pick_for(
        &self,
        choice: Choice<'_>,
        avoid: &[Arc<Upstream>],
        turn: &mut u32,
    ) -> Result<InFlight, NoUpstream> {
        let is_canary = |member: &&Member| {
            member.role == UpstreamRole::Standby
                && self.canary.as_ref().is_some_and(|canary| canary.release == member.upstream.release)
        };
        // Nothing is known after a restart of the edge; a client shall not lose its task because of that.
        let can_serve = |member: &&Member| {
            let standing = member.upstream.standing();
            (member.role == UpstreamRole::Live && standing != Standing::Unhealthy
                || is_canary(member) && standing == Standing::Healthy)
                && !avoid.iter().any(|tried| Arc::ptr_eq(tried, &member.upstream))
        };
        let candidates = || self.upstreams.iter().filter(can_serve);
        let own = candidates().find(|member| choice.task == Some(member.upstream.task.as_str()));
        let own = own.or_else(|| {
            let share = u64::from(self.canary.as_ref()?.percent);
            let is_drawn = choice.draw % 100 < share;
            candidates()
                .filter(is_canary)
                .filter(|_| is_drawn)
                .min_by_key(|member| member.upstream.in_flight())
        });
        match own.and_then(|member| self.take(&member.upstream)) {
            Some(in_flight) => Ok(in_flight),
            None => self.try_pick(avoid, turn),
        }
    }
}
