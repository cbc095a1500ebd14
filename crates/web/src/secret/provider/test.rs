//! `POST /v1/projects/{project}/secret-providers/{name}/test`: does it answer, does it take the credential, has it a value at a place? Says no
//! value. Who asks it is handed over by the daemon. Tests: `tests/it/secret_provider.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret_provider::{TestSecretProviderRequest, TestedSecretProvider};

use crate::error::Refusal;
use crate::extract::{Input, SecretProviderPath};
use crate::state::AppState;

/// Try a secret provider: log in, and with a place read the value there, which is neither shown nor kept.
#[utoipa::path(post, path = "/v1/projects/{project}/secret-providers/{name}/test", tag = "secret",
    operation_id = "test_secret_provider",
    params(("project" = String, Path, example = "dropit"), ("name" = String, Path, example = "vault-main")),
    request_body = TestSecretProviderRequest,
    responses(
        (status = 200, body = TestedSecretProvider),
        (status = 404, body = ErrorBody, description = "`secret_provider_not_found`"),
    ))]
pub(crate) async fn test(
    State(state): State<AppState>,
    SecretProviderPath { project, name }: SecretProviderPath,
    Input(request): Input<TestSecretProviderRequest>,
) -> Result<Json<TestedSecretProvider>, Refusal> {
    let TestSecretProviderRequest { environment, location } = request;
    let open = state.store.read(move |view| view.open_secret_provider(&project, environment.as_ref(), &name));
    let tried = state.streams.try_provider(open.await?, location).await;
    let is_good = tried.is_ok();
    let (Ok(text) | Err(text)) = tried;
    Ok(Json(TestedSecretProvider { is_good, text }))
}
