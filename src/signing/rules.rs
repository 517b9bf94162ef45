//! `SignRules`: which requests are signed.

use std::{fmt, sync::Arc};

use http::{Method, Uri};

use crate::error::AuthError;

/// Selects the requests that are signed, among those that get the access token.
///
/// # Example
///
/// ```
/// use http::Method;
/// use tower_outbound_auth::signing::SignRules;
///
/// let rules = SignRules::paths(["/v1/reports/{kind}", "/v2/{*rest}"])?.only([Method::GET, Method::POST]);
/// # let _ = rules;
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[derive(Clone)]
pub struct SignRules {
    which: Which,
    methods: Option<Arc<[Method]>>,
}

type Matching = dyn Fn(&Method, &Uri) -> bool + Send + Sync;

#[derive(Clone)]
enum Which {
    All,
    Paths { router: Arc<matchit::Router<()>>, patterns: Arc<[String]> },
    Matching(Arc<Matching>),
}

impl SignRules {
    /// Signs every request that gets the access token.
    pub fn all() -> Self {
        Self::new(Which::All)
    }

    /// Signs requests whose path matches one of the patterns.
    ///
    /// `{name}` matches one segment and `{*name}` the rest of the path; a literal brace is written twice. This is the
    /// syntax of [`matchit`](https://docs.rs/matchit), which axum uses too. The path is compared as it is sent:
    /// percent-encoded, case-sensitive and without the query. Without a pattern nothing is signed.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a pattern is invalid, or if two patterns match the same path.
    pub fn paths<I: IntoIterator<Item = P>, P: AsRef<str>>(patterns: I) -> Result<Self, AuthError> {
        let mut router = matchit::Router::new();
        let patterns: Arc<[String]> = patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        for pattern in patterns.iter() {
            let refuse = |why: String| {
                AuthError::config(format!("`SignRules::paths`: {pattern:?} is no pattern for a path: {why}"))
            };
            if !pattern.starts_with('/') {
                return Err(refuse("it must begin with a slash".to_owned()));
            }
            router.insert(pattern, ()).map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self::new(Which::Paths { router: Arc::new(router), patterns }))
    }

    /// Signs requests for which the function returns `true`.
    ///
    /// It is called for each request that gets the access token, on the task that sends it, and must not block.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::signing::SignRules;
    ///
    /// let rules = SignRules::matching(|method, uri| method.is_safe() && uri.path().starts_with("/v1/"));
    /// # let _ = rules;
    /// ```
    pub fn matching(f: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Which::Matching(Arc::new(f)))
    }

    /// Limits the rules to requests with one of these methods.
    ///
    /// Default: all methods. A second call replaces the first.
    pub fn only(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    pub(crate) fn apply(&self, method: &Method, uri: &Uri) -> bool {
        let of_method = self.methods.as_ref().is_none_or(|methods| methods.contains(method));
        of_method
            && match &self.which {
                Which::All => true,
                Which::Paths { router, .. } => router.at(uri.path()).is_ok(),
                Which::Matching(matches) => matches(method, uri),
            }
    }

    fn new(which: Which) -> Self {
        Self { which, methods: None }
    }
}

impl fmt::Debug for SignRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = f.debug_struct("SignRules");
        match &self.which {
            Which::All => rules.field("paths", &"all"),
            Which::Paths { patterns, .. } => rules.field("paths", patterns),
            Which::Matching(_) => rules.field("paths", &"matching"),
        };
        rules.field("methods", &self.methods).finish()
    }
}

/// Request extension that overrides the [`SignRules`] for one request.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::signing::Sign;
///
/// let request = http::Request::get("https://api.example.com/v1/types").extension(Sign::Never).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Signs this request, if it gets the access token.
    Always,
    /// Does not sign this request. It still gets the access token.
    Never,
}
