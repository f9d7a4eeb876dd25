"""The vulnerability types: FAST's public codes, then further ones (spec/vulnerabilities.md)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A type. `cwe` are numbers of the Common Weakness Enumeration, `remediation` is for a developer."""

    code: str
    title: str
    cwe: tuple[int, ...]
    remediation: str


_TYPES = (
    Vulnerability(
        "anomaly",
        "Anomalous reaction to unexpected bytes",
        (),
        "Find out why the listed bytes change the answer: they often reach a parser or a query undecoded. "
        "Check input against an allow list before it is used, and answer anything else with a plain 400.",
    ),
    Vulnerability(
        "auth",
        "Authentication bypass",
        (288,),
        "Check on the server, for every route, that the caller is who the session says; deny by default. "
        "Compare credentials with bound parameters and a password hash, never with query text. "
        "Reject a token or a session that is missing, malformed or unsigned.",
    ),
    Vulnerability(
        "csrf",
        "Cross-site request forgery",
        (352,),
        "Demand a token that is tied to the session with every request that changes something. "
        "Set SameSite=Lax or Strict on session cookies and check Origin as a second line.",
    ),
    Vulnerability(
        "idor",
        "Insecure direct object reference",
        (639,),
        "Look objects up together with their owner, as in WHERE id = ? AND user_id = ?, so that a foreign id "
        "finds nothing. Give the same answer for what is absent and for what belongs to somebody else.",
    ),
    Vulnerability(
        "info",
        "Information exposure",
        (200, 209, 215, 538, 541, 548),
        "Turn debug output off in production and answer unexpected errors with a page that tells nothing. "
        "Log the details on the server under an id that the page may show. "
        "Keep configuration, source and backup files out of what the web server delivers.",
    ),
    Vulnerability(
        "ldapi",
        "LDAP injection",
        (90,),
        "Escape every value that goes into a filter or a distinguished name with the function of the LDAP "
        "library (RFC 4515 and RFC 4514). Restrict the accepted characters first where the field allows it.",
    ),
    Vulnerability(
        "nosqli",
        "NoSQL injection",
        (943,),
        "Take only the expected type: a value that should be a string must not arrive as an object with "
        "operators. Build queries with the driver's typed interface and keep server-side JavaScript off.",
    ),
    Vulnerability(
        "ptrav",
        "Path traversal",
        (22,),
        "Do not build file names from input; choose from a list or look the name up by an id. "
        "Where a name is needed, resolve it and check that the result lies below the intended folder.",
    ),
    Vulnerability(
        "rce",
        "Remote code or command execution",
        (78, 94),
        "Start programs with a list of arguments and without a shell, and never evaluate input as code. "
        "Check arguments against an allow list; put -- before those that could look like options.",
    ),
    Vulnerability(
        "redir",
        "Open redirect",
        (601,),
        "Redirect only to paths of your own site or to names from a fixed list. "
        "Parse the target and refuse it when it has a scheme or a host; //host and /\\host have one.",
    ),
    Vulnerability(
        "sqli",
        "SQL injection",
        (89,),
        "Pass values as bound parameters of a prepared statement, in every query. "
        "Take names of columns and sort orders from a fixed list. "
        "Give the database account no more rights than the application needs.",
    ),
    Vulnerability(
        "ssrf",
        "Server-side request forgery",
        (918,),
        "Allow only the hosts and schemes that are needed, and check the address after resolving the name. "
        "Refuse loopback, private and link-local networks, and do not follow redirects blindly.",
    ),
    Vulnerability(
        "ssti",
        "Server-side template injection",
        (94, 159, 1336),
        "Never make a template from input: give input to a fixed template as a variable. "
        "Where users must write templates, use a language without expressions, such as plain placeholders.",
    ),
    Vulnerability(
        "xss",
        "Cross-site scripting",
        (79,),
        "Escape output for the place it lands in (text, attribute, URL, script), best by an engine that "
        "does so by default. Check the scheme of links that users give. "
        "Add a Content-Security-Policy without unsafe-inline as a second line.",
    ),
    Vulnerability(
        "xxe",
        "XML external entity processing",
        (611,),
        "Turn document type declarations and external entities off in the XML parser. "
        "Where a declaration is needed, resolve nothing from the network or the disk and limit expansion.",
    ),
    Vulnerability(
        "crlf",
        "HTTP header injection",
        (113,),
        "Refuse or encode carriage returns and line feeds in everything that goes into a header. "
        "Set headers through a framework that checks them.",
    ),
    Vulnerability(
        "host",
        "Host header poisoning",
        (644,),
        "Take the site's own name from configuration, not from Host or X-Forwarded-Host. "
        "Let the server answer only for the names that it serves.",
    ),
    Vulnerability(
        "cors",
        "Cross-origin access for any site",
        (942,),
        "Answer Access-Control-Allow-Origin from a list of known origins, compared as a whole. "
        "Never combine an origin that was merely echoed with Access-Control-Allow-Credentials.",
    ),
    Vulnerability(
        "deser",
        "Deserialisation of untrusted data",
        (502,),
        "Exchange data in a format that holds only data, such as JSON checked by a schema. "
        "Where objects must be read, sign them and allow only the classes that are needed.",
    ),
    Vulnerability(
        "jwt",
        "Weak JSON Web Token check",
        (347,),
        "Fix the accepted algorithm on the server and verify the signature before anything is read. "
        "Use a key with enough entropy, and check expiry, issuer and audience.",
    ),
    Vulnerability(
        "mass",
        "Mass assignment",
        (915,),
        "Bind only the fields that this caller may set, by name. "
        "Keep roles, owners, prices and flags out of the model that is filled from the request.",
    ),
    Vulnerability(
        "verb",
        "HTTP verb tampering",
        (650,),
        "Attach access rules to the route with every method, not to a list of methods. "
        "Answer methods that a route does not implement with 405, and ignore method override headers.",
    ),
    Vulnerability(
        "graphql",
        "Open GraphQL interface",
        (200, 770),
        "Turn introspection off in production and check authorisation in the resolvers. "
        "Limit depth, cost and the number of operations in one request.",
    ),
    Vulnerability(
        "upload",
        "Upload of files that act",
        (434,),
        "Accept only the kinds of files that are needed, by their content and their ending. Give stored "
        "files names of your own, keep them where nothing is run, and send them as attachments.",
    ),
    Vulnerability(
        "xpathi",
        "XPath injection",
        (643,),
        "Give values to the expression as XPath variables instead of pasting them into it. "
        "Where the library has none, accept only letters and digits.",
    ),
    Vulnerability(
        "cookie",
        "Insecure cookie",
        (614, 1004),
        "Set Secure, HttpOnly and SameSite on every cookie that identifies a session. "
        "Keep its path and its lifetime as narrow as the application allows.",
    ),
    Vulnerability(
        "headers",
        "Missing protection headers",
        (693,),
        "Send X-Content-Type-Options: nosniff, a Content-Security-Policy with frame-ancestors, and over TLS "
        "Strict-Transport-Security. Set them in one place, so that no page is left out.",
    ),
)

VULNERABILITIES: dict[str, Vulnerability] = {each.code: each for each in _TYPES}
"""Every type by its code, FAST's first."""
