//! Where a browser is redirected after the sign-in: a page of this gateway, and nowhere else.
//!
//! What counts is how a browser reads the path: it reads `/\evil.example` and `//evil.example` as another
//! host, drops line ends, and a server behind may decode `%2f` once more. So a path is parsed as a browser
//! parses it, and anything that needs such parsing is refused.

use url::Url;

/// The longest path, in bytes: the gateway's own are short.
const MAX_BYTES: usize = 512;

/// `text` as a path of this gateway with its query; `None` when it might lead elsewhere.
pub(crate) fn return_path(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let hidden = ["%2f", "%5c", "%00", "%0a", "%0d", "%09", "%25"];
    let sound = text.starts_with('/')
        && text.len() <= MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !text.contains("//")
        && !hidden.iter().any(|code| lower.contains(code));
    if !sound {
        return None;
    }
    let here = Url::parse("https://here.invalid/").expect("a constant URL");
    let url = here.join(text).ok().filter(|url| url.origin() == here.origin())?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    // Dots may have been resolved: `/..//evil.example` was refused above, but what is left counts.
    (!path.starts_with("//")).then_some(path)
}

/// The same, or the home page.
pub(crate) fn or_home(text: &str) -> String {
    return_path(text).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("/" => Some("/".to_owned()))]
    #[test_case("/jobs/1" => Some("/jobs/1".to_owned()))]
    #[test_case("/device?user_code=BCDF-GHJK" => Some("/device?user_code=BCDF-GHJK".to_owned()) ; "a query")]
    #[test_case("/jobs/../device" => Some("/device".to_owned()) ; "dots are resolved")]
    #[test_case("/jobs/1#log" => Some("/jobs/1".to_owned()) ; "a fragment is dropped")]
    #[test_case("" => None ; "nothing")]
    #[test_case("jobs/1" => None ; "no slash")]
    #[test_case("//evil.example" => None ; "another host")]
    #[test_case("///evil.example" => None ; "three slashes")]
    #[test_case("/\\evil.example" => None ; "backslash")]
    #[test_case("\\/evil.example" => None ; "backslash first")]
    #[test_case("/%2fevil.example" => None ; "encoded slash")]
    #[test_case("/%2Fevil.example" => None ; "encoded slash in upper case")]
    #[test_case("/%5cevil.example" => None ; "encoded backslash")]
    #[test_case("/%252fevil.example" => None ; "encoded twice")]
    #[test_case("/\t/evil.example" => None ; "a tab, which browsers drop")]
    #[test_case("/\n/evil.example" => None ; "a line end, which browsers drop")]
    #[test_case(" //evil.example" => None ; "a space first")]
    #[test_case("/..//evil.example" => None ; "dots, then a host")]
    #[test_case("https://evil.example" => None ; "a URL")]
    #[test_case("javascript:alert(1)" => None ; "a script")]
    #[test_case("/%0d%0aSet-Cookie:x" => None ; "a header")]
    #[test_case("/ü" => None ; "not ASCII")]
    fn where_to_go(text: &str) -> Option<String> {
        return_path(text)
    }
}
