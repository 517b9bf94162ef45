"""Verifies assertions with PyJWT and cryptography: one JSON object a line, with the assertion and what it must be."""

import base64
import json
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


def verify(case):
    key = serialization.load_pem_private_key(case["key"].encode(), password=None).public_key()
    # PyJWT checks the signature and the audience; the time of the test is in the past.
    options = {"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "aud", "jti", "iat", "exp"]}
    claims = jwt.decode(
        case["assertion"], key, algorithms=[case["algorithm"]], audience=case["audience"], issuer=case["client"],
        options=options,
    )
    header = jwt.get_unverified_header(case["assertion"])
    certificate = x509.load_pem_x509_certificate(case["certificate"].encode())
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    assert claims["sub"] == case["client"], claims
    assert claims["exp"] - claims["iat"] == 60, claims
    assert header == {"alg": case["algorithm"], "typ": "JWT", "kid": case["kid"], "x5t#S256": thumbprint}, header

    # A changed assertion is refused: the check above is one.
    head, body, signature = case["assertion"].split(".")
    changed = body[:-2] + ("A" if body[-2] != "A" else "B") + body[-1]
    try:
        jwt.decode(f"{head}.{changed}.{signature}", key, algorithms=[case["algorithm"]], options={"verify_signature": True})
    except jwt.InvalidSignatureError:
        return claims["jti"]
    except jwt.DecodeError:
        return claims["jti"]
    raise AssertionError("a changed assertion was accepted")


ids = [verify(json.loads(line)) for line in sys.stdin]
assert len(set(ids)) == len(ids), "an identifier was used twice"
print(f"{len(ids)} verified")
