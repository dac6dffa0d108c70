//! What a person sees in the browser when a login has ended.

use std::path::PathBuf;

use bearward::login::{Ending, Failed, Granted, Loopback, Returned, Scope};

use crate::support::Browser;
use crate::support::browser::{Seen, View};

/// Each way to look at a page.
const VIEWS: [(&str, View); 4] = [
    ("light", view("light", 1280, 800)),
    ("dark", view("dark", 1280, 800)),
    ("phone-light", view("light", 390, 844)),
    ("phone-dark", view("dark", 390, 844)),
];

/// What a page must bear without scrolling sideways (WCAG 1.4.10).
const NARROWEST: View = view("light", 320, 568);

const fn view(scheme: &'static str, width: u32, height: u32) -> View {
    View {
        scheme,
        width,
        height,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn granted() -> Granted {
    let asked = ["openid", "offline_access", "crm.read", "crm.write"];
    let granted = ["openid", "offline_access", "crm.read"];
    Granted {
        grant: String::from("crm"),
        server: String::from("login.example.com"),
        account: Some(String::from("ada@example.com")),
        scope: Scope::compare(&names(&asked), Some(&names(&granted))),
        until: Some(String::from("22 February 2027, if it is not used before")),
        note: None,
    }
}

fn bare() -> Granted {
    Granted {
        account: None,
        scope: Vec::new(),
        until: None,
        note: Some(String::from(
            "Go back to the terminal: another account held this grant before, and you are asked whether that is meant.",
        )),
        ..granted()
    }
}

/// All that may come from a server that wishes us ill, or is only generous.
fn odd() -> Granted {
    let many = (0..60).map(|n| format!("https://api.example.com/auth/area-{n}.read"));
    let mut asked: Vec<String> = many.collect();
    asked.push("x".repeat(2_000));
    asked.push(String::from("קריאה.בלבד"));
    asked.push(String::from("<script>document.title='taken'</script>"));
    let mut told = asked.clone();
    asked.push(String::from("a\u{202e}b\u{0}c\u{1b}[31m"));
    told.push(String::from("\"'&amp;"));
    Granted {
        grant: "g".repeat(63),
        server: format!("https://{}.example.com/tenant", "sub.".repeat(40)),
        account: Some(String::from("عبد الرحمن <img src=x onerror=alert(1)>")),
        scope: Scope::compare(&asked, Some(&told)),
        ..granted()
    }
}

fn failed() -> Failed {
    Failed {
        grant: String::from("crm"),
        server: String::from("login.example.com"),
        what: String::from("The server gave an access token, but no refresh token."),
        remedy: Some(String::from(
            "Switch on “offline access” for this client in the server's console, or ask for it with `prompt=consent`, and log in again.",
        )),
    }
}

fn ill() -> Failed {
    Failed {
        what: format!(
            "access_denied: </p><style>*{{}}</style>{}",
            "no ".repeat(300)
        ),
        remedy: None,
        ..failed()
    }
}

/// A browser that is sent back with `query`, and what the loopback gets of it, until the browser
/// has the page of `ending`.
async fn sent_back(browser: &Browser, loopback: &mut Loopback, query: &str, ending: &Ending) {
    let url = format!("{}?{query}", loopback.redirect_uri());
    let answered = async {
        let returned: Returned = loopback.returned().await;
        assert_eq!(returned.query().expose(), query);
        returned.answer(ending);
    };
    tokio::join!(browser.goto(&url), answered);
}

#[tokio::test]
async fn the_page_is_good_to_look_at_in_every_light() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("login_page");
    std::fs::create_dir_all(&folder).unwrap();
    let endings = [
        ("granted", Ending::Granted(granted())),
        ("bare", Ending::Granted(bare())),
        ("odd", Ending::Granted(odd())),
        ("failed", Ending::Failed(failed())),
        ("ill", Ending::Failed(ill())),
    ];
    let mut loopback = Loopback::bind(None).unwrap();
    let browser = Browser::start().await;
    for (name, ending) in endings {
        sent_back(&browser, &mut loopback, &format!("state={name}"), &ending).await;
        if name == "odd" {
            browser.press("summary").await;
        }
        for (light, view) in VIEWS {
            let width = browser.view(view).await;
            assert_eq!(
                width,
                u64::from(view.width),
                "{name} {light}: it must not scroll sideways"
            );
            assert_eq!(browser.axe().await, Vec::<String>::new(), "{name} {light}");
            let picture = folder.join(format!("{name}-{light}.png"));
            browser.screenshot(&picture).await;
        }
        let width = browser.view(NARROWEST).await;
        assert_eq!(width, u64::from(NARROWEST.width), "{name}, narrowest");
        let Seen { title, text, .. } = browser.look().await;
        assert!(title.ends_with("granted · Bearward"), "{title}");
        assert!(text.contains("You can close this tab"), "{text}");
    }
    let origin = loopback
        .redirect_uri()
        .trim_end_matches("callback")
        .to_owned();
    let sent = browser.sent().await;
    let strange = sent.iter().filter(|url| !url.starts_with(&origin));
    let strange: Vec<&String> = strange.filter(|url| !url.starts_with("data:")).collect();
    assert_eq!(strange, Vec::<&String>::new());
    let pages = sent.iter().filter(|url| url.starts_with(&origin)).count();
    assert_eq!(
        pages,
        2 * 5,
        "each ending is a redirect and a page: {sent:?}"
    );
}

#[tokio::test]
async fn the_code_does_not_stay_in_the_address_bar() {
    let mut loopback = Loopback::bind(None).unwrap();
    let browser = Browser::start().await;
    let ending = Ending::Granted(granted());
    sent_back(&browser, &mut loopback, "code=splendid&state=y", &ending).await;
    let seen = browser.look().await;
    assert!(
        seen.url.contains("/done/") && !seen.url.contains("splendid"),
        "{}",
        seen.url
    );
    for told in [
        "Access granted",
        "login.example.com",
        "crm.write",
        "22 February 2027",
    ] {
        assert!(seen.text.contains(told), "{told} not in: {}", seen.text);
    }
    browser.reload().await;
    assert_eq!(browser.look().await.text, seen.text);
    loopback.close().await;
}
