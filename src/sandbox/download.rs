//! Report files: requests for them, and the origin that sends each once.

use std::{
    io::{self, Write},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;

use super::{
    message::message,
    state::{FIID, File, ServerState},
};

pub(super) fn router() -> Router<Arc<ServerState>> {
    // By default axum answers HEAD with the handler of GET, which would use up the file.
    Router::new().route("/files/{id}", get(file).head(head))
}

/// The JSON of a report download. Unknown fields are ignored, and so is `window`, whose values are not public.
#[derive(Deserialize)]
pub(super) struct ReportRequest {
    report_type: String,
    product: String,
    date: String,
    fiid: Option<String>,
}

impl ReportRequest {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.report_type.is_empty() || self.product.is_empty() {
            return Err("report_type and product must not be empty");
        }
        if !is_date(&self.date) {
            return Err("date must be YYYY-MM-DD");
        }
        match self.fiid.as_deref() {
            None | Some(FIID) => Ok(()),
            Some(_) => Err("fiid is not known"),
        }
    }

    /// Creates the report; returns its one-time URL.
    pub(super) fn url(&self, shared: &ServerState) -> String {
        let csv = format!(
            "date,fiid,transactions,amount_myr\r\n{date},{FIID},2,150.75\r\n{date},{FIID},1,20.00\r\n",
            date = self.date
        );
        format!("{}/files/{}", shared.download_origin, shared.files.add(csv))
    }
}

async fn file(State(shared): State<Arc<ServerState>>, Path(id): Path<String>) -> Response {
    match shared.files.take(&id) {
        Some(File::Waiting(csv)) => match gzip(&csv) {
            Ok(body) => {
                shared.counters.downloads.add_one();
                ([(CONTENT_TYPE, "application/gzip")], body).into_response()
            }
            Err(_) => message(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be compressed"),
        },
        Some(File::Taken) => message(StatusCode::GONE, "this file was downloaded before"),
        None => message(StatusCode::NOT_FOUND, "no such file"),
    }
}

async fn head() -> Response {
    message(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
}

fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// Checks the format of a date, with months up to 12 and days up to 31.
fn is_date(text: &str) -> bool {
    let number = |digits: &str, length| {
        let right_form = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| right_form)
    };
    let parts: Vec<_> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else {
        return false;
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}
