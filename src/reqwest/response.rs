//! Responses: from reqwest's type to that of `http` and back, with nothing lost.

use ::reqwest::{Body, Response, ResponseBuilderExt};

/// The response, its URL among its extensions, where reqwest finds it again.
pub(super) fn into_http(response: Response) -> http::Response<Body> {
    // The extension's type is private, so it takes a builder to make one.
    let mut marked = http::response::Builder::new().url(response.url().clone());
    let url = marked.extensions_mut().map(std::mem::take);
    let mut response = http::Response::from(response);
    response.extensions_mut().extend(url.unwrap_or_default());
    response
}
