//! `SignRules`: a pattern is an error when it is built, or matches every path that it should.

use http::{Method, Request, StatusCode, Uri};
use tower_outbound_auth::{AuthLayer, ErrorKind, signing::SignRules};

use crate::{
    drive::{Limits, drive},
    input::Input,
    stack::{MARK, Mark, ORIGIN, Seen, Tokens, has_token, response, send},
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let patterns: Vec<_> = (0..input.below(6)).map(|_| Pattern::of(&mut input)).collect();
    let methods: Vec<_> = (0..input.below(3)).map(|_| input.pick(&METHODS)).collect();
    let rules = match SignRules::paths(patterns.iter().map(|pattern| &pattern.text)) {
        Ok(rules) => rules,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!all_fit_together(&patterns), "{patterns:?} refused: {error}");
            return;
        }
    };
    assert!(patterns.iter().all(|pattern| pattern.text.starts_with('/')), "{patterns:?} accepted");
    let rules = if methods.is_empty() { rules } else { rules.only(methods.iter().map(|name| method(name))) };
    let builder = AuthLayer::builder(Tokens::default()).origin(ORIGIN).sign(rules, Mark);
    let layer = builder.build().expect("the settings are valid");
    for _ in 0..4 {
        let (path, name) = (path(&mut input, &patterns), input.pick(&METHODS));
        let Some(signed) = is_signed(&layer, name, &path) else {
            continue;
        };
        let of_method = methods.is_empty() || methods.contains(&name);
        if patterns.iter().all(|pattern| pattern.parts.is_some()) {
            let of_path = patterns.iter().any(|pattern| pattern.matches(&path));
            assert_eq!(signed, of_method && of_path, "{patterns:?} {methods:?}: {name} {path:?}");
        }
        assert!(of_method || !signed, "{methods:?}: {name} {path:?}");
    }
}

#[derive(Debug)]
struct Pattern {
    text: String,
    /// Its segments, if they are known.
    parts: Option<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(&'static str),
    /// One segment, not empty.
    One,
    /// The rest, not empty.
    Rest,
}

impl Pattern {
    fn of(input: &mut Input<'_>) -> Self {
        if input.one_in(8) {
            let start = input.pick(&["/", "", "/v1/"]);
            return Self { text: start.to_owned() + &String::from_utf8_lossy(input.some_bytes()), parts: None };
        }
        let mut parts: Vec<_> = (0..=input.below(4)).map(|_| part(input)).collect();
        if input.one_in(4) {
            parts.push(Part::Rest);
        }
        let written: Vec<_> = parts.iter().enumerate().map(|(nth, part)| part.written(nth)).collect();
        Self { text: format!("/{}", written.join("/")), parts: Some(parts) }
    }

    fn matches(&self, path: &str) -> bool {
        let Some(mut path) = path.strip_prefix('/') else {
            return false;
        };
        let parts = self.parts.as_deref().unwrap_or_default();
        for (nth, part) in parts.iter().enumerate() {
            if *part == Part::Rest {
                return !path.is_empty();
            }
            let (segment, rest) = path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)));
            let fits = if let Part::Text(text) = part { segment == *text } else { !segment.is_empty() };
            match rest {
                _ if !fits => return false,
                None => return nth + 1 == parts.len(),
                Some(rest) => path = rest,
            }
        }
        false
    }
}

impl Part {
    fn written(&self, nth: usize) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::One => format!("{{p{nth}}}"),
            Self::Rest => "{*rest}".to_owned(),
        }
    }
}

fn part(input: &mut Input<'_>) -> Part {
    if input.one_in(3) { Part::One } else { Part::Text(input.pick(&SEGMENTS)) }
}

/// Whether no two match the same path: all are plain text and different.
fn all_fit_together(patterns: &[Pattern]) -> bool {
    let plain = |pattern: &Pattern| pattern.parts.iter().flatten().all(|part| matches!(part, Part::Text(_)));
    let different = |nth: usize| patterns[..nth].iter().all(|other| other.text != patterns[nth].text);
    (0..patterns.len()).all(|nth| patterns[nth].parts.is_some() && plain(&patterns[nth]) && different(nth))
}

/// Returns a path, often one that a pattern matches, or almost.
fn path(input: &mut Input<'_>, patterns: &[Pattern]) -> String {
    let near = if patterns.is_empty() || input.one_in(4) { None } else { Some(&patterns[input.below(patterns.len())]) };
    match near.map(|pattern| (pattern, pattern.parts.as_ref())) {
        Some((_, Some(parts))) => {
            let segments = parts.iter().map(|part| match part {
                Part::Text(text) if !input.one_in(8) => (*text).to_owned(),
                Part::Rest => input.pick(&["", "a", "a/b", "/", "a//b/"]).to_owned(),
                _ => input.pick(&SEGMENTS).to_owned(),
            });
            let path = format!("/{}", segments.collect::<Vec<_>>().join("/"));
            path + input.pick(&["", "", "", "", "/", "/x"])
        }
        Some((pattern, None)) => pattern.text.clone(),
        None => format!("/{}", String::from_utf8_lossy(input.bytes(12))),
    }
}

/// Returns whether the request was signed; `None` if there is no such request.
fn is_signed(layer: &AuthLayer, name: &str, path: &str) -> Option<bool> {
    let uri: Uri = format!("{ORIGIN}{path}").parse().ok()?;
    if uri.path() != path {
        return None;
    }
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method(name), uri);
    let seen = Seen::default();
    drive(LIMITS, send(layer, request, &seen, |_| response(StatusCode::OK))).expect("a response");
    let seen = seen.lock().expect("not poisoned");
    assert!(seen.iter().all(has_token), "signed or not, it carries the token");
    Some(seen.iter().any(|request| request.headers().contains_key(MARK)))
}

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

const METHODS: [&str; 5] = ["GET", "POST", "DELETE", "get", "REPORT"];
const SEGMENTS: [&str; 12] =
    ["v1", "v2", "reports", "report", "reports2", "a", "", "%7Bx%7D", "a.b", "types", "v", "*"];
const LIMITS: Limits = Limits { polls: 100, bytes: 256 * 1024 };
