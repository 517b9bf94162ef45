//! Prints a crate's public API, an item a line, from the JSON of rustdoc whose path is the argument.
//!
//! Auto traits, blanket implementations, and the methods of traits such as `Clone` and `Debug` are left out: they tell nothing
//! that other lines or tests do not.

use std::{env, error::Error, fs, io::Write as _};

use rustdoc_types::FORMAT_VERSION;
use serde::Deserialize;

/// What every format has.
#[derive(Deserialize)]
struct Json {
    format_version: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: outbound-auth-public-api JSON")?;
    let Json { format_version } = serde_json::from_str(&fs::read_to_string(&path)?)?;
    if format_version != FORMAT_VERSION {
        return Err(format!(
            "rustdoc wrote format {format_version}, and this program reads {FORMAT_VERSION}: \
             see [dependencies] in tests/public_api/Cargo.toml"
        )
        .into());
    }
    let api = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .include_function_parameter_names(true)
        .build()?;
    let mut out = std::io::stdout().lock();
    for item in api.items().map(ToString::to_string) {
        let is_familiar = item.starts_with("pub fn ") && FAMILIAR.iter().any(|method| item.contains(method));
        if !is_familiar && !item.contains("::StructuralPartialEq ") {
            writeln!(out, "{}", item.replace("tower_outbound_auth::", "crate::"))?;
        }
    }
    Ok(())
}

/// Methods of traits whose implementation is a line, too.
const FAMILIAR: [&str; 6] =
    ["::clone(&self)", "::cmp(&self, ", "::eq(&self, ", "::fmt(&self, ", "::hash<__H: ", "::partial_cmp(&self, "];
