//! Which requests are signed.

use std::{fmt, sync::Arc};

use http::{Method, Uri};

use crate::error::AuthError;

/// Which of the requests that carry the token are signed too.
///
/// # Example
///
/// ```
/// use http::Method;
/// use tower_outbound_auth::SignRules;
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
    /// Every request in scope.
    pub fn all() -> Self {
        Self::new(Which::All)
    }

    /// The paths that match one of the patterns, in the syntax of [`matchit`](https://docs.rs/matchit).
    ///
    /// `{name}` stands for one segment, `{*name}` for all the rest. A path is compared as it is sent, percent-encoding
    /// included; the query does not count.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a pattern that is none, or for two that match the same path.
    pub fn paths<I: IntoIterator<Item = P>, P: AsRef<str>>(patterns: I) -> Result<Self, AuthError> {
        let mut router = matchit::Router::new();
        let patterns: Arc<[String]> = patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        for pattern in patterns.iter() {
            let refuse = |why: String| AuthError::config(format!("{pattern:?} is no pattern for a path: {why}"));
            if !pattern.starts_with('/') {
                return Err(refuse("it must begin with a slash".to_owned()));
            }
            router.insert(pattern, ()).map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self::new(Which::Paths { router: Arc::new(router), patterns }))
    }

    /// Whatever the function says.
    pub fn matching(f: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Which::Matching(Arc::new(f)))
    }

    /// Of those, only requests with one of these methods.
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

/// Request extension: overrides the [`SignRules`] for one request.
///
/// ```
/// use tower_outbound_auth::Sign;
///
/// let request = http::Request::get("https://api.example.com/v1/types").extension(Sign::Never).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Sign {
    /// Sign this one. It still has to be in scope.
    Always,
    /// Do not sign this one. It still gets its token.
    Never,
}

/// Request extension: this request goes out without any credential of ours.
///
/// No token is fetched for it, and a 401 to it is the caller's.
///
/// ```
/// use tower_outbound_auth::NoAuth;
///
/// let request = http::Request::get("https://api.example.com/health").extension(NoAuth).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NoAuth;
