//! The runner itself: what drives the loops when nobody calls.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::deployment::state::{FailureReason, State};
use havre_core::id::TaskId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;
use havre_engine::fake::script::Script;
use havre_reconcile::clock::{Clock, ManualClock};
use havre_reconcile::runner;
use tokio_util::sync::CancellationToken;

use crate::world::{Outside, spec, work};

/// Short waits pass at once; the resync never comes.
#[derive(Debug)]
struct WithoutResync(Arc<ManualClock>);

#[async_trait]
impl Clock for WithoutResync {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, length: Duration) {
        if length >= Duration::from_secs(10) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.advance(length);
    }
}

#[tokio::test]
async fn a_time_limit_is_kept_although_nothing_announces_it() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    // Nobody reports, so the limit alone can end the deployment.
    outside.edge.state.lock().unwrap().is_up = false;
    let mut control = outside.control();
    let clock = Arc::new(WithoutResync(Arc::clone(&outside.clock)));
    control.world.clock = clock;
    let mut impatient = work("1");
    impatient.start_timeout = Span::seconds(5);
    let id = control.apply(spec(impatient)).await;
    control.build(id).await;
    let stop = CancellationToken::new();
    let loops = tokio::spawn(runner::run(control.world.clone(), stop.clone()));
    let over = async {
        loop {
            if let Some(last) = control.deployments(id).await.into_iter().next()
                && last.state.is_final()
            {
                return last.state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let state = tokio::time::timeout(Duration::from_secs(60), over).await.expect("the limit is noticed");
    stop.cancel();
    loops.await.expect("the runner stops");
    let State::Failed { reason, .. } = state else { panic!("{state:?}") };
    let FailureReason::NeverHealthy { task, probe, .. } = reason else { panic!("{reason:?}") };
    assert_eq!((task, probe.as_str()), (TaskId::new(1), "no edge reports; is `havred edge` running?"));
}
