//! What is shown of a line with a secret in it.

use super::*;

/// Each text with what is shown of it; `hunter2` must never be.
const CASES: [(&str, &str); 37] = [
    ("client_secrte = \"hunter2\"", "client_secrte = \"*******\""),
    ("passwrd = \"hunter2\"", "passwrd = \"*******\""),
    ("kye = \"hunter2\"", "kye = \"*******\""),
    ("client_secret: hunter2", "client_secret: *******"),
    ("  client_secret hunter2", "  client_secret *******"),
    (
        "client_secret =\n\n\"hunter2\"",
        "client_secret =\n\n*********",
    ),
    (
        "\tCLIENT_SECRET\t=\t'hunter2'\r\n",
        "\tCLIENT_SECRET\t=\t'*******'\r\n",
    ),
    (
        "[grant.a]\nx = { client_id = \"a\", client_secret = \"hunter2\" }",
        "[grant.a]\nx = { client_id = \"a\", client_secret = \"*******\" }",
    ),
    (
        "tls.key = \"-----BEGIN-----\nhunter2+/=\nhunter2==\n-----END-----\"\nx = 1",
        "tls.key = \"***************\n**********\n*********\n**************\nx = 1",
    ),
    (
        "old_keys = [\n  { file = \"/a\" },\n]\nscope = [\n  \"a\",\n]",
        "old_keys = [\n  { file = \"/a\" },\n]\nscope = [\n  \"a\",\n]",
    ),
    (
        "[route.tls]\nkey = \"/etc/k.pem\"",
        "[route.tls]\nkey = \"/etc/k.pem\"",
    ),
    ("tls.key = \"hunter2\"", "tls.key = \"*******\""),
    (
        "[grant.a.names]\nclient_secret = \"hunter2\"",
        "[grant.a.names]\nclient_secret = \"*******\"",
    ),
    ("seed = \"hunter2\"", "seed = \"*******\""),
    ("client_secret = \"hunter2\"", "client_secret = \"*******\""),
    (
        "client_secret = 'hunter2' # my hunter2",
        "client_secret = '*********************",
    ),
    ("client_secret = \"hunter2", "client_secret = \"*******"),
    ("client_secret = hunter2", "client_secret = *******"),
    (
        "client_secret=\"hun\"ter2\"\nx = 1",
        "client_secret=\"********\"\nx = 1",
    ),
    (
        "key = \"\"\"a\nhunter2\"\"\" ",
        "key = \"\"\"*\n***********",
    ),
    ("key = '''hunter2\nx = 1", "key = '''*******\n*****"),
    (
        "old_keys = [\"hunter2\", { file = \"/k\" }]",
        "old_keys = [\"*******\", { file = \"/k\" }]",
    ),
    (
        "old_keys = [\n  \"hunter2\",\n]",
        "old_keys = [\n  **********\n]",
    ),
    (
        "client_secret = { file = \"/run/s\" }",
        "client_secret = { file = \"/run/s\" }",
    ),
    (
        "client_secret = { value = \"hunter2\" }",
        "client_secret = { value = \"*******\" }",
    ),
    (
        "client_secret = { env = hunter2 }",
        "client_secret = { env = ******* }",
    ),
    (
        "seed = { refresh_token = \"hunter2\" }",
        "seed = { refresh_token = \"*******\" }",
    ),
    (
        "store.file.key = \"hunter2\"",
        "store.file.key = \"*******\"",
    ),
    (
        "client_secret.file = \"/run/s\"",
        "client_secret.file = \"/run/s\"",
    ),
    ("\"X-Api-Key\" = \"hunter2\"", "\"X-Api-Key\" = \"*******\""),
    (
        "# client_secret = \"hunter2\"",
        "# client_secret = \"*******\"",
    ),
    (
        "[grant.a.client_secret]\nvalue = \"hunter2\"",
        "[grant.a.client_secret]\nvalue = \"*******\"",
    ),
    (
        "x = \"\"\"\nclient_secret = \"hunter2\"",
        "x = \"\"\"\nclient_secret = \"*******\"",
    ),
    (
        "upstream = \"https://me:hunter2@a.example/\"",
        "upstream = \"https://**********@a.example/\"",
    ),
    (
        "token_endpoint = \"https://a.example/?k=hunter2\"",
        "token_endpoint = \"https://a.example/?*********\"",
    ),
    (
        "[grant.token-a]\nclient_id = \"crm\"",
        "[grant.token-a]\nclient_id = \"crm\"",
    ),
    (
        "client_secret = \"hüntér2\"",
        "client_secret = \"*********\"",
    ),
];

#[test]
fn secrets_become_stars_and_the_rest_stays() {
    for (text, shown) in CASES {
        assert_eq!(masked(text), shown, "{text}");
        assert_eq!(masked(text).len(), text.len(), "{text}");
    }
}
