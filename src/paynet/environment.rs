//! `Environment`: PayNet's token URL and API origin.

use std::{fmt, str::FromStr};

use crate::{error::AuthError, origin::Origin};

/// Token URL and API origin of one PayNet environment.
///
/// It can be parsed from `production`, `non-production` and `uat`, which is another name for non-production.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::paynet::Environment;
///
/// let environment: Environment = "uat".parse()?;
/// assert_eq!(environment, Environment::non_production());
/// assert_eq!(environment.token_url(), "https://api.reports.uat.inet.paynet.my/token");
/// assert_eq!(environment.to_string(), "non-production");
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Environment {
    token_url: String,
    api_origin: String,
}

impl Environment {
    /// Returns PayNet's user acceptance test (UAT) environment.
    pub fn non_production() -> Self {
        Self::of(UAT_ORIGIN)
    }

    /// Returns PayNet's production environment.
    pub fn production() -> Self {
        Self::of(PRODUCTION_ORIGIN)
    }

    /// Creates an environment for a gateway or a test server.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the token URL is not a URL, if the API origin is not `https://host[:port]`,
    /// or if one of them is plain `http` to a host other than loopback.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::paynet::Environment;
    ///
    /// let gateway = Environment::custom("https://gateway.example.com/token", "https://gateway.example.com")?;
    /// assert!(Environment::custom("http://gateway.example.com/token", "https://gateway.example.com").is_err());
    /// # drop(gateway);
    /// # Ok::<(), tower_outbound_auth::AuthError>(())
    /// ```
    pub fn custom(token_url: &str, api_origin: &str) -> Result<Self, AuthError> {
        check_secure("token endpoint", &Origin::of_url("token_url", token_url)?.1)?;
        check_secure("API", &Origin::parse("api_origin", api_origin)?)?;
        Ok(Self { token_url: token_url.to_owned(), api_origin: api_origin.to_owned() })
    }

    /// Returns the URL of the token endpoint.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// Returns scheme, host and port of the API.
    pub fn api_origin(&self) -> &str {
        &self.api_origin
    }

    fn of(origin: &str) -> Self {
        Self { token_url: format!("{origin}/token"), api_origin: origin.to_owned() }
    }
}

impl FromStr for Environment {
    type Err = AuthError;

    /// Parses `production`, `non-production` or `uat`.
    fn from_str(name: &str) -> Result<Self, AuthError> {
        match name {
            NON_PRODUCTION | "uat" => Ok(Self::non_production()),
            PRODUCTION => Ok(Self::production()),
            _ => Err(AuthError::config("the PayNet environment must be production, non-production or uat")),
        }
    }
}

/// Writes `production`, `non-production`, or the API origin of any other one.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.api_origin() {
            UAT_ORIGIN => NON_PRODUCTION,
            PRODUCTION_ORIGIN => PRODUCTION,
            other => other,
        })
    }
}

fn check_secure(what: &str, origin: &Origin) -> Result<(), AuthError> {
    if origin.is_trusted() {
        return Ok(());
    }
    Err(AuthError::config(format!(
        "`Environment::custom`: the {what} at {origin} would receive credentials in plain text; use https"
    )))
}

const PRODUCTION: &str = "production";
const NON_PRODUCTION: &str = "non-production";
const PRODUCTION_ORIGIN: &str = "https://api.reports.paynet.my";
const UAT_ORIGIN: &str = "https://api.reports.uat.inet.paynet.my";
