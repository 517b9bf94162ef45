//! Reads as much of a key's DER (PKCS #8: RFC 5958; PKCS #1: RFC 8017; SEC 1: RFC 5915) as tells what kind of key it is.

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa {
        bits: usize,
    },
    /// An RSA key that is marked for RSASSA-PSS alone.
    RsaPss,
    Ec {
        curve: Curve,
        has_public_key: bool,
    },
    Ed25519,
    /// Ed448, X25519 and what else there is.
    Other,
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    /// Another, or one that is not named but written out.
    Other,
}

pub(super) fn kind_of_pkcs8(der: &[u8]) -> Kind {
    pkcs8(der).unwrap_or(Kind::Unreadable)
}

pub(super) fn kind_of_pkcs1(der: &[u8]) -> Kind {
    rsa(der).unwrap_or(Kind::Unreadable)
}

fn pkcs8(der: &[u8]) -> Option<Kind> {
    let mut key = Reader(Reader(der).expect(SEQUENCE)?);
    key.expect(INTEGER)?;
    let mut algorithm = Reader(key.expect(SEQUENCE)?);
    let private_key = key.expect(OCTET_STRING)?;
    match algorithm.expect(OBJECT)? {
        RSA => rsa(private_key),
        RSA_PSS => Some(Kind::RsaPss),
        EC => Some(Kind::Ec { curve: curve(&mut algorithm), has_public_key: has_public_key(private_key)? }),
        ED25519 => Some(Kind::Ed25519),
        _ => Some(Kind::Other),
    }
}

/// What a public key is to ring (RFC 5280, section 4.1: the contents of the bit string).
#[cfg(feature = "sandbox")]
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    let mut key = Reader(Reader(der).expect(SEQUENCE)?);
    key.expect(SEQUENCE)?;
    key.expect(BIT_STRING)?.strip_prefix(&[0])
}

fn rsa(der: &[u8]) -> Option<Kind> {
    let mut key = Reader(Reader(der).expect(SEQUENCE)?);
    key.expect(INTEGER)?;
    let modulus = key.expect(INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = modulus.get(zeros..)?;
    let unused = digits.first().map_or(0, |first| first.leading_zeros() as usize);
    Some(Kind::Rsa { bits: digits.len() * 8 - unused })
}

fn curve(algorithm: &mut Reader<'_>) -> Curve {
    match algorithm.expect(OBJECT) {
        Some(P256) => Curve::P256,
        Some(P384) => Curve::P384,
        Some(P521) => Curve::P521,
        _ => Curve::Other,
    }
}

/// RFC 5915, section 3: the public key is the second of two optional members.
fn has_public_key(der: &[u8]) -> Option<bool> {
    let mut key = Reader(Reader(der).expect(SEQUENCE)?);
    key.expect(INTEGER)?;
    key.expect(OCTET_STRING)?;
    while let Some((tag, _)) = key.next() {
        if tag == PUBLIC_KEY {
            return Some(true);
        }
    }
    Some(false)
}

/// Reads values one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Tag and contents of the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= LONG_FORM {
            let digits = usize::from(first - LONG_FORM);
            if !(1..=MAX_DIGITS).contains(&digits) {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(digits)?;
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (contents, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, contents))
    }

    fn expect(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, contents)| contents)
    }
}

const INTEGER: u8 = 0x02;
#[cfg(feature = "sandbox")]
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Context-specific, constructed, 1.
const PUBLIC_KEY: u8 = 0xa1;
const LONG_FORM: u8 = 0x80;
/// A length of 16 MiB is more than any key has.
const MAX_DIGITS: usize = 3;

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.10
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.132.0.35
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
