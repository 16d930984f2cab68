//! Reads `http` and `onPush` of a manifest, and tells all that is wrong with them.

use mime::Mime;
use url::Url;

use super::{
    Cors, Http, MAX_AGE_S, MAX_HTTP_BYTES, MAX_WAIT_S, OnPush, ResponseFormat, cors::ANY, fields::Fields,
};
use crate::http_syntax::is_token;

/// What no function is called with: a proxy's own methods, and one that shows what a browser hides from pages.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

impl Fields {
    pub(super) fn on_push(&mut self) -> OnPush {
        self.word("onPush", &[("run", OnPush::Run), ("build", OnPush::Build)]).unwrap_or_default()
    }

    pub(super) fn http(&mut self) -> Option<Http> {
        let mut fields = self.object("http")?;
        let methods = fields.methods("methods");
        let formats = [("raw", ResponseFormat::Raw), ("cgi", ResponseFormat::Cgi)];
        let http = Http {
            response: fields.word("response", &formats).unwrap_or_default(),
            content_type: fields.media_type("contentType"),
            wait_s: fields.whole_seconds("wait", MAX_WAIT_S),
            retry: fields.boolean("retry").unwrap_or_default(),
            cors: fields.cors(&methods),
            methods,
        };
        self.join(fields);
        let bytes = serde_json::to_vec(&http).map_or(0, |json| json.len());
        if bytes > MAX_HTTP_BYTES {
            self.problem(format!("http is longer than {MAX_HTTP_BYTES} bytes"));
        }
        Some(http)
    }

    /// `methods` are those of the function; empty means the usual ones.
    fn cors(&mut self, methods: &[String]) -> Option<Cors> {
        let mut fields = self.object("cors")?;
        let mut cors = Cors {
            allow_origins: fields.origins("allowOrigins"),
            allow_methods: fields.methods("allowMethods"),
            allow_headers: fields.header_names("allowHeaders"),
            expose_headers: fields.header_names("exposeHeaders"),
            allow_credentials: fields.boolean("allowCredentials").unwrap_or_default(),
            max_age_s: fields.whole_seconds("maxAge", MAX_AGE_S),
        };
        let lists = [
            ("allowOrigins", &cors.allow_origins),
            ("allowMethods", &cors.allow_methods),
            ("allowHeaders", &cors.allow_headers),
            ("exposeHeaders", &cors.expose_headers),
        ];
        for (name, list) in lists {
            if cors.allow_credentials && list.iter().any(|listed| listed == ANY) {
                fields.problem(format!("{name} cannot be \"*\" where allowCredentials is true"));
            }
        }
        if cors.allow_methods.is_empty() {
            let of_function = Http { methods: methods.to_vec(), ..Http::default() };
            cors.allow_methods = of_function.methods().into_iter().map(str::to_owned).collect();
        }
        self.join(fields);
        Some(cors)
    }

    fn methods(&mut self, name: &'static str) -> Vec<String> {
        let methods = self.names(name);
        let any_is_one = name == "allowMethods";
        for method in methods.iter().filter(|method| !(any_is_one && *method == ANY)) {
            let upper = method.to_ascii_uppercase();
            if !is_token(method) || method == ANY {
                self.problem(format!("{name}: {method:?} is not a method"));
            } else if FORBIDDEN_METHODS.contains(&upper.as_str()) {
                self.problem(format!("{name}: {upper} never reaches a function"));
            } else if *method != upper {
                // Clients correct the case of some and not of `patch`.
                self.problem(format!("{name}: {method:?} must be {upper:?}"));
            }
        }
        methods
    }

    fn origins(&mut self, name: &'static str) -> Vec<String> {
        if !self.is_given(name) {
            self.problem(format!("{name} is missing: a list of origins, or [\"*\"]"));
        }
        let origins = self.names(name);
        for origin in origins.iter().filter(|origin| *origin != ANY && !is_origin(origin)) {
            self.problem(format!(
                "{name}: {origin:?} is neither \"*\" nor scheme://host[:port] as browsers write it"
            ));
        }
        origins
    }

    fn header_names(&mut self, name: &'static str) -> Vec<String> {
        let names = self.names(name);
        for header in names.iter().filter(|header| !is_token(header)) {
            self.problem(format!("{name}: {header:?} is not the name of a header"));
        }
        names
    }

    fn media_type(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        if !is_media_type(&text) {
            self.problem(format!(
                "{name}: {text:?} is not a media type, such as \"text/html; charset=utf-8\""
            ));
        }
        Some(text)
    }
}

/// A media type as a header may hold it: no range, ASCII alone.
fn is_media_type(text: &str) -> bool {
    let is_exact = |mime: Mime| mime.type_() != ANY && mime.subtype() != ANY;
    text.is_ascii() && text.parse::<Mime>().is_ok_and(is_exact)
}

/// An origin as browsers send it, since it is compared byte for byte: lower case, a host outside ASCII in
/// Punycode, no port that is the scheme's own, nothing after it.
fn is_origin(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let Some(host) = url.host_str().filter(|host| !host.is_empty() && !host.contains('*')) else {
        return false;
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    text == format!("{}://{host}{port}", url.scheme())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::manifest::tests::parse;

    fn http(http: &str) -> Result<Option<Http>, String> {
        let text = format!(r#"{{"language": "rust", "http": {http}}}"#);
        parse(&text).map(|manifest| manifest.http).map_err(|error| error.problems.join("\n"))
    }

    #[test]
    fn absent_and_empty_have_the_stated_defaults() {
        let manifest = parse(r#"{"language": "rust"}"#).unwrap();
        assert_eq!((manifest.http, manifest.on_push), (None, OnPush::Run));
        assert_eq!(http("{}"), Ok(Some(Http::default())));
        assert_eq!(http(r#"{"methods": null, "cors": null}"#), Ok(Some(Http::default())));
        assert_eq!(http("null"), Ok(None));
    }

    #[test]
    fn every_field_is_read() {
        let read = http(
            r#"{"methods": ["POST"], "response": "cgi", "contentType": "text/html; charset=utf-8", "wait": "2m",
                "retry": true, "cors": {"allowOrigins": ["https://example.com"], "allowMethods": ["PUT"],
                "allowHeaders": ["content-type"], "exposeHeaders": ["x-left"], "allowCredentials": true,
                "maxAge": "1h"}}"#,
        );
        let one = |word: &str| vec![word.to_owned()];
        let cors = Cors {
            allow_origins: one("https://example.com"),
            allow_methods: one("PUT"),
            allow_headers: one("content-type"),
            expose_headers: one("x-left"),
            allow_credentials: true,
            max_age_s: Some(3600),
        };
        let wanted = Http {
            methods: one("POST"),
            response: ResponseFormat::Cgi,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            wait_s: Some(120),
            retry: true,
            cors: Some(cors),
        };
        assert_eq!(read, Ok(Some(wanted)));
    }

    #[test_case(r#"{"methods": ["POST"], "cors": {"allowOrigins": ["*"]}}"# => vec!["POST"] ; "those of the function")]
    #[test_case(r#"{"cors": {"allowOrigins": ["*"]}}"# => vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] ; "the usual ones")]
    #[test_case(r#"{"cors": {"allowOrigins": ["*"], "allowMethods": ["*"]}}"# => vec!["*"] ; "any")]
    fn methods_of_pages(text: &str) -> Vec<String> {
        http(text).unwrap().unwrap().cors.unwrap().allow_methods
    }

    #[test]
    fn every_wrong_field_is_named_in_one_message() {
        let error = http(
            r#"{"methods": ["get", "CONNECT", "trace", "a b", "*", "PURGE"], "response": "stream", "contentType": "text",
                "wait": 301, "retry": "yes", "colour": 1, "cors": {"allowOrigins": ["*", "example.com"],
                "allowMethods": ["*", "Patch"], "allowHeaders": ["*", "a:b"], "exposeHeaders": "x",
                "allowCredentials": true, "maxAge": "2d"}}"#,
        );
        insta::assert_snapshot!(error.unwrap_err(), @r#"
        http.methods: "get" must be "GET"
        http.methods: CONNECT never reaches a function
        http.methods: TRACE never reaches a function
        http.methods: "a b" is not a method
        http.methods: "*" is not a method
        http.response must be "raw" or "cgi"
        http.contentType: "text" is not a media type, such as "text/html; charset=utf-8"
        http.wait is 301 s, over the most of 300 s
        http.retry must be true or false
        http.cors.allowOrigins: "example.com" is neither "*" nor scheme://host[:port] as browsers write it
        http.cors.allowMethods: "Patch" must be "PATCH"
        http.cors.allowHeaders: "a:b" is not the name of a header
        http.cors.exposeHeaders must be a list of strings
        http.cors.maxAge is 172800 s, over the most of 86400 s
        http.cors.allowOrigins cannot be "*" where allowCredentials is true
        http.cors.allowMethods cannot be "*" where allowCredentials is true
        http.cors.allowHeaders cannot be "*" where allowCredentials is true
        "#);
        let wrong =
            parse(r#"{"language": "rust", "http": [], "onPush": "deploy", "timeout": 0}"#).unwrap_err();
        insta::assert_snapshot!(wrong, @r#"manifest: timeout must be above 0; onPush must be "run" or "build"; http must be an object"#);
    }

    #[test_case(r#"{"methods": []}"# => "http.methods must name at least one" ; "no method")]
    #[test_case(r#"{"cors": {}}"# => r#"http.cors.allowOrigins is missing: a list of origins, or ["*"]"# ; "no origins")]
    #[test_case(r#"{"cors": {"allowOrigins": 7}}"# => "http.cors.allowOrigins must be a list of strings" ; "origins that are a number")]
    #[test_case(r#"{"cors": true}"# => "http.cors must be an object" ; "cors that is no object")]
    #[test_case(r#"{"wait": -1}"# => "http.wait must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`" ; "a wait below 0")]
    #[test_case(r#"{"wait": 0.5}"# => "http.wait must be whole seconds" ; "half a second")]
    #[test_case(r#"{"wait": "500ms"}"# => "http.wait must be whole seconds" ; "half a second in words")]
    #[test_case(r#"{"wait": "301s"}"# => "http.wait is 301 s, over the most of 300 s" ; "a long wait")]
    #[test_case(r#"{"wait": 1e300}"# => "http.wait must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`" ; "a wait for ever")]
    #[test_case(r#"{"contentType": "text/*"}"# => r#"http.contentType: "text/*" is not a media type, such as "text/html; charset=utf-8""# ; "a range")]
    #[test_case(r#"{"contentType": ["text/html"]}"# => "http.contentType must be a string" ; "a list of types")]
    fn one_wrong_field(text: &str) -> String {
        http(text).unwrap_err()
    }

    #[test]
    fn it_is_no_longer_than_a_record_has_room_for() {
        let origins: Vec<String> = (0..200).map(|n| format!("\"https://a{n}.example.com\"")).collect();
        let text = format!(r#"{{"cors": {{"allowOrigins": [{}]}}}}"#, origins.join(","));
        assert_eq!(http(&text), Err("http is longer than 4096 bytes".to_owned()));
    }

    #[test]
    fn fields_inside_that_are_not_known_are_warnings() {
        let text =
            r#"{"language": "rust", "http": {"colour": 1, "cors": {"allowOrigins": ["*"], "shape": 2}}}"#;
        insta::assert_snapshot!(parse(text).unwrap().warnings.join("\n"), @r#"
        faas-manifest.json: the field "http.colour" is not known and has no effect
        faas-manifest.json: the field "http.cors.shape" is not known and has no effect
        "#);
    }

    #[test_case("https://example.com" => true)]
    #[test_case("http://localhost:5173" => true)]
    #[test_case("http://[::1]:8080" => true ; "an address")]
    #[test_case("capacitor://localhost" => true ; "an app's scheme")]
    #[test_case("https://xn--bcher-kva.example" => true ; "Punycode")]
    #[test_case("https://bücher.example" => false ; "not ASCII")]
    #[test_case("https://example.com/" => false ; "a slash")]
    #[test_case("https://example.com:443" => false ; "the port of the scheme")]
    #[test_case("https://Example.com" => false ; "upper case")]
    #[test_case("https://*.example.com" => false ; "a pattern")]
    #[test_case("https://me@example.com" => false ; "a user")]
    #[test_case("https://example.com?x" => false ; "a query")]
    #[test_case("example.com" => false ; "no scheme")]
    #[test_case("null" => false ; "the opaque origin")]
    #[test_case("file:///" => false ; "files")]
    #[test_case("mailto:a@example.com" => false ; "no host")]
    #[test_case("https://example.com\r\nX: y" => false ; "two lines")]
    fn origins(text: &str) -> bool {
        is_origin(text)
    }

    #[test_case("text/plain" => true)]
    #[test_case("application/problem+json" => true)]
    #[test_case("text/html; charset=utf-8" => true ; "with a parameter")]
    #[test_case("multipart/mixed; boundary=\"a b\"" => true ; "with a quoted one")]
    #[test_case("text" => false)]
    #[test_case("*/*" => false ; "any")]
    #[test_case("" => false ; "nothing")]
    #[test_case("text/plain; charset=\"é\"" => false ; "not ASCII")]
    #[test_case("text/plain; a=\"\r\nx: y\"" => false ; "two lines")]
    #[test_case("text/plain, text/html" => false ; "two types")]
    fn media_types(text: &str) -> bool {
        is_media_type(text)
    }
}
