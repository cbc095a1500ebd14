//! `GET /v1/openapi.json`: the document of this API, kept as a golden file. Tests: `tests/it/node.rs` compares it with
//! what the code says.

use http::header::CONTENT_TYPE;

/// The document this server was built with.
pub(crate) const DOCUMENT: &str = include_str!("../../openapi.json");

/// This API as an OpenAPI document. Needs no token.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "node", operation_id = "get_openapi", security(()),
    responses((status = 200, content_type = "application/json")))]
pub(crate) async fn openapi() -> ([(http::HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}
