//! Which hosts are reached without the proxy: a list as in the environment variable `NO_PROXY`.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// One entry of the list.
#[derive(Clone, Debug)]
pub(super) struct NoProxy {
    hosts: Hosts,
    /// Any port if `None`.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    Network(IpNet),
    /// The domain itself and what is below it: lower case, without a dot at either end.
    Domain(String),
}

/// Splits a list as curl does: at commas and blanks.
pub(super) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|separator: char| separator == ',' || separator.is_whitespace()).filter(|entry| !entry.is_empty())
}

impl NoProxy {
    /// Whether the entry names this host, as a URI has it, with or without the brackets of an IPv6 address.
    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|only| only != port) {
            return false;
        }
        let host = without_brackets(host);
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => host.parse().is_ok_and(|address: IpAddr| network.contains(&address)),
            Hosts::Domain(domain) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }
}

/// Reads `host`, `.suffix`, `*.suffix`, `*`, an address or a network, and a port after any but the networks.
impl FromStr for NoProxy {
    type Err = ();

    fn from_str(entry: &str) -> Result<Self, ()> {
        if let Some(network) = network(entry) {
            return Ok(Self { hosts: Hosts::Network(network), port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(drop)?)),
            None => (entry, None),
        };
        let hosts = match network(host) {
            Some(network) => Hosts::Network(network),
            None if host == "*" => Hosts::All,
            None => Hosts::Domain(domain(host).ok_or(())?),
        };
        Ok(Self { hosts, port })
    }
}

fn network(text: &str) -> Option<IpNet> {
    let address = || without_brackets(text).parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

fn domain(text: &str) -> Option<String> {
    let domain = text.strip_prefix('*').unwrap_or(text).trim_matches('.');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) || !byte.is_ascii();
    (!domain.is_empty() && domain.bytes().all(is_name)).then(|| domain.to_ascii_lowercase())
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(list: &str, host: &str, port: u16) -> bool {
        entries(list).any(|entry| entry.parse::<NoProxy>().is_ok_and(|entry| entry.matches(host, port)))
    }

    #[test]
    fn a_domain_stands_for_itself_and_what_is_below_it() {
        for list in ["example.com", ".example.com", "*.example.com", "EXAMPLE.com.", "a, example.com\tb"] {
            for host in ["example.com", "Example.Com", "www.example.com", "a.b.example.com", "example.com."] {
                assert!(matches(list, host, 443), "{list} names {host}");
            }
            for host in ["notexample.com", "example.com.evil.test", "com", "example.org", "10.0.0.1", ""] {
                assert!(!matches(list, host, 443), "{list} does not name {host}");
            }
        }
    }

    #[test]
    fn an_address_is_named_by_itself_or_by_its_network() {
        for (list, host, is_named) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.11", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("::1", "[::1]", true),
            ("[2001:db8::1]", "[2001:DB8:0::1]", true),
            ("2001:db8::/32", "[2001:db8:ffff::1]", true),
            ("2001:db8::/32", "[2001:db9::1]", false),
            ("10.0.0.0/8", "ten.example", false),
        ] {
            assert_eq!(matches(list, host, 443), is_named, "{list} {host}");
        }
    }

    #[test]
    fn an_asterisk_stands_for_all_hosts_and_an_empty_list_for_none() {
        for host in ["example.com", "10.0.0.1", "[::1]"] {
            assert!(matches("*", host, 443));
            assert!(matches("a,*:8443", host, 8443) && !matches("a,*:8443", host, 443));
            assert!(!matches("", host, 443) && !matches(" , ,", host, 443));
        }
    }

    #[test]
    fn a_port_narrows_an_entry() {
        for (entry, host) in [("a.example:8080", "a.example"), ("10.0.0.1:8080", "10.0.0.1"), ("[::1]:8080", "[::1]")] {
            assert!(matches(entry, host, 8080) && !matches(entry, host, 443), "{entry}");
        }
    }

    #[test]
    fn what_names_no_host_is_no_entry() {
        for entry in ["http://a.example", "10.0.0.0/33", "a/8", "a:b", "a:65536", "a:", ".", "*.", "u@a", "[::1", "a*b"]
        {
            assert!(entry.parse::<NoProxy>().is_err(), "{entry}");
        }
    }
}
