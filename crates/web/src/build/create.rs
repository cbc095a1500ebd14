//! `POST .../services/{service}/builds`: takes a context or the name of an image and queues a build.
//! Tests: `tests/it/build.rs`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use havre_api::build::{BuildAccepted, CreateBuildQuery};
use havre_api::error::ErrorBody;
use havre_core::artifact::ImageRef;
use havre_core::service::Place;
use havre_core::service::spec::{ImageSource, ServiceSpec, Work};
use http::StatusCode;
use tokio_stream::StreamExt as _;

use crate::access::gate::Caller;
use crate::build::intake::ReceivedContext;
use crate::build::wire;
use crate::error::{Code, Refusal};
use crate::extract::{Params, ServicePath, read_body};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Build and deploy a service from an uploaded context, or deploy an image by its name.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/builds",
    tag = "build", operation_id = "create_build",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), CreateBuildQuery),
    request_body(content = Vec<u8>, content_type = "application/x-tar",
        description = "The context as a plain tar stream; empty for an image"),
    responses(
        (status = 202, body = BuildAccepted),
        (status = 408, body = ErrorBody, description = "`upload_stalled`"),
        (status = 413, body = ErrorBody, description = "`context_too_large`"),
        (status = 422, body = ErrorBody, description = "`context_invalid` or `image_invalid`"),
        (status = 507, body = ErrorBody, description = "`disk_full`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Params(query): Params<CreateBuildQuery>,
    request: Request,
) -> Result<(StatusCode, Json<BuildAccepted>), Refusal> {
    let commit = check_commit(query.commit.unwrap_or_default())?;
    let image = query.image.as_deref().map(parse_image).transpose()?;
    let _slot = state.slot()?;
    let look = place.clone();
    let spec = transaction::read(&state, move |view| Ok(lookup::usable_service(view, &look)?.spec)).await?;
    let context = if needs_context(&choose_spec(&place, spec, image.clone())?) {
        Some(receive(&state, request.into_body()).await?)
    } else {
        refuse_body(&state, request).await?;
        None
    };
    let build = transaction::write(&state, actor, move |tx| {
        let service = lookup::usable_service(tx, &place)?;
        let spec = choose_spec(&place, service.spec, image)?;
        if needs_context(&spec) != context.is_some() {
            let message = format!("the source of {place} changed during the upload");
            return Err(Refusal::new(Code::StateChanged, message).hint("deploy it again"));
        }
        let row = tx.create_build(service.id, spec, service.revision, commit)?;
        if let Some(context) = context {
            context.publish(row.id)?;
        }
        wire(tx, row, place)
    });
    Ok((StatusCode::ACCEPTED, Json(BuildAccepted { build: build.await? })))
}

fn parse_image(text: &str) -> Result<ImageRef, Refusal> {
    text.parse().map_err(|error: havre_core::artifact::ArtifactError| {
        Refusal::new(Code::ImageInvalid, error.to_string())
    })
}

/// It becomes an environment variable and a label: short and visible.
fn check_commit(commit: String) -> Result<String, Refusal> {
    if commit.len() <= 64 && commit.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(commit);
    }
    Err(Refusal::new(Code::QueryInvalid, "a commit has at most 64 visible ASCII characters without spaces"))
}

/// The specification to build: the service's own, or with the image named this one time.
fn choose_spec(
    place: &Place,
    mut spec: ServiceSpec,
    image: Option<ImageRef>,
) -> Result<ServiceSpec, Refusal> {
    if let Some(reference) = image {
        let Work::Tasks(work) = &mut spec.work else {
            let message = format!("{place} is a site: it cannot run an image");
            return Err(Refusal::new(Code::ImageInvalid, message));
        };
        work.source = ImageSource::Image { reference };
    }
    Ok(spec)
}

fn needs_context(spec: &ServiceSpec) -> bool {
    match &spec.work {
        Work::Tasks(work) => matches!(work.source, ImageSource::Dockerfile(_)),
        Work::Site(_) => true,
    }
}

async fn refuse_body(state: &AppState, request: Request) -> Result<(), Refusal> {
    let body = tokio::time::timeout(state.limits.upload_silence, read_body(request, 0)).await;
    match body {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Refusal::new(Code::ContextInvalid, "an image needs no build context: send an empty body")),
    }
}

/// Takes the whole context in. A client that goes away or falls silent leaves nothing: the upload is dropped.
async fn receive(state: &AppState, body: Body) -> Result<Box<dyn ReceivedContext>, Refusal> {
    let limit = state.limits.context_bytes;
    let mut upload = state.intake.begin(limit).await?;
    let mut received: u64 = 0;
    let mut chunks = body.into_data_stream();
    loop {
        let chunk = match tokio::time::timeout(state.limits.upload_silence, chunks.next()).await {
            Err(_) => return Err(stalled(state)),
            Ok(None) => return Ok(upload.finish().await?),
            Ok(Some(Err(_))) => {
                return Err(Refusal::new(Code::ContextInvalid, "the upload broke off; nothing was kept"));
            }
            Ok(Some(Ok(chunk))) => chunk,
        };
        received = received.saturating_add(chunk.len() as u64);
        if received > limit {
            let limit = havre_core::quantity::ByteSize::bytes(limit);
            return Err(Refusal::new(Code::ContextTooLarge, format!("the build context is over {limit}"))
                .hint("leave files out with a .dockerignore"));
        }
        upload.write(chunk).await?;
    }
}

fn stalled(state: &AppState) -> Refusal {
    let seconds = state.limits.upload_silence.as_secs();
    Refusal::new(Code::UploadStalled, format!("nothing arrived for {seconds} s; nothing was kept"))
        .hint("upload it again")
}
