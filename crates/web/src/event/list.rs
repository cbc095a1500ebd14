//! `GET /v1/events`: what happened, as JSON lines; followed, what happens from now on. Tests: `tests/it/event.rs`.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::event::{Event, EventQuery};
use havre_core::event::Subject;
use havre_core::id::ServiceId;
use havre_core::service::Place;
use havre_store::{StoreError, View};

use crate::error::{Code, Refusal};
use crate::extract::Params;
use crate::lines::{self, Broken, Lines};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Events read at once.
const PAGE: u32 = 500;
/// Events of an answer whose query names neither a cursor nor a limit.
const RECENT: u32 = 100;
/// Events of an answer with a cursor and no limit.
const LIMIT_DEFAULT: u32 = 1000;
/// Most events of an answer that does not follow.
const LIMIT_MAX: u32 = 10_000;

/// Read or follow events, as JSON lines.
#[utoipa::path(get, path = "/v1/events", tag = "event", operation_id = "list_events",
    params(EventQuery),
    responses(
        (status = 200, body = Event, content_type = "application/x-ndjson"),
        (status = 404, body = ErrorBody, description = "`service_not_found`"),
    ))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<EventQuery>,
) -> Result<Response, Refusal> {
    if query.limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
        return Err(Refusal::new(Code::QueryInvalid, format!("the limit is between 1 and {LIMIT_MAX}")));
    }
    let wanted = query.service.clone();
    let service = transaction::read(&state, move |view| find_service(view, wanted.as_deref())).await?;
    let inner = state.clone();
    lines::respond(&state, move |lines| async move { send(&inner, &lines, &query, service).await })
}

/// By row or by names. A row may name a service that is gone: its events stay.
fn find_service(view: &View<'_>, text: Option<&str>) -> Result<Option<ServiceId>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let parts: Vec<&str> = text.split('/').collect();
    let [project, environment, service] = parts[..] else {
        return match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(Refusal::new(
                Code::QueryInvalid,
                "a service is named as project/environment/service, or by its row such as s2",
            )),
        };
    };
    let place =
        Place { project: project.parse()?, environment: environment.parse()?, service: service.parse()? };
    Ok(Some(lookup::service(view, &place)?.id))
}

async fn send(
    state: &AppState,
    lines: &Lines,
    query: &EventQuery,
    service: Option<ServiceId>,
) -> Result<(), Broken> {
    // Subscribed before the first look, so that nothing falls between look and wait.
    let mut changes = state.store.changes();
    let mut cursor = match query.after {
        Some(after) => after,
        None => recent(state, query, service).await?,
    };
    let mut left = match (query.follow, query.limit, query.after) {
        (true, _, _) => u64::MAX,
        (false, Some(limit), _) => u64::from(limit),
        (false, None, Some(_)) => u64::from(LIMIT_DEFAULT),
        (false, None, None) => u64::from(RECENT),
    };
    loop {
        changes.mark_unchanged();
        while left > 0 {
            let limit = PAGE.min(u32::try_from(left).unwrap_or(PAGE));
            let page = page(state, cursor, service, limit).await?;
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            left -= page.len() as u64;
            for event in &page {
                lines.send(event).await?;
            }
        }
        if !query.follow {
            return Ok(());
        }
        match tokio::time::timeout(state.limits.keep_alive, changes.changed()).await {
            Ok(Ok(())) => {}
            // The store is closing.
            Ok(Err(_)) => return Ok(()),
            Err(_) => lines.keep_alive().await?,
        }
    }
}

/// The cursor behind which the last few events are.
async fn recent(state: &AppState, query: &EventQuery, service: Option<ServiceId>) -> Result<u64, Refusal> {
    let count = query.limit.unwrap_or(RECENT) as usize;
    transaction::read(state, move |view| {
        let Some(service) = service else {
            return Ok(view.last_event()?.saturating_sub(count as u64));
        };
        // The log is bounded, so walking over one service's part of it is too.
        let mut newest = VecDeque::new();
        let mut cursor = 0;
        loop {
            let page = view.events(cursor, Some(service), LIMIT_MAX)?;
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            newest.extend(page.iter().map(|event| event.seq));
            newest.drain(..newest.len().saturating_sub(count));
        }
        Ok(newest.front().map_or(cursor, |first| first - 1))
    })
    .await
}

async fn page(
    state: &AppState,
    after: u64,
    service: Option<ServiceId>,
    limit: u32,
) -> Result<Vec<Event>, Refusal> {
    transaction::read(state, move |view| {
        let mut places: BTreeMap<ServiceId, Option<Place>> = BTreeMap::new();
        let mut events = Vec::new();
        for row in view.events(after, service, limit)? {
            let service_id = match row.subject {
                Subject::Service { id } => Some(id),
                Subject::Node => None,
            };
            let place = match service_id {
                None => None,
                Some(id) => match places.get(&id) {
                    Some(known) => known.clone(),
                    None => places.entry(id).or_insert(find_place(view, id)?).clone(),
                },
            };
            events.push(Event {
                seq: row.seq,
                at: row.at,
                actor: row.actor,
                service_id,
                place,
                text: row.kind.to_string(),
                kind: row.kind,
            });
        }
        Ok(events)
    })
    .await
}

fn find_place(view: &View<'_>, id: ServiceId) -> Result<Option<Place>, Refusal> {
    match view.get_service(id) {
        Ok(service) => Ok(Some(service.place)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
