//! `faas-manifest.json`: what a repository says about its function.
//!
//! A manifest that is wrong gets one message that names every wrong field, so its author pushes
//! once, not once per mistake. A field that we do not know is a warning, for manifests written for
//! later versions.

mod cors;
mod fields;
mod http;
mod http_fields;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    Filter,
    settings::{GITFAAS_MAX_CPUS, GITFAAS_MAX_DISK, GITFAAS_MAX_MEMORY, GITFAAS_MAX_TIMEOUT, Reader},
    units,
};
pub use cors::{Cors, Header, MAX_AGE_S, is_preflight};
use fields::Fields;
pub use http::{DEFAULT_WAIT, Http, MAX_HTTP_BYTES, MAX_WAIT_S, ResponseFormat, USUAL_METHODS};

/// Where the manifest lies in the repository.
pub const MANIFEST_FILE: &str = "faas-manifest.json";
/// The largest manifest that is read, in bytes: a thousand times a usual one.
pub const MAX_MANIFEST_BYTES: u64 = 64 * 1024;
/// The published JSON Schema of the manifest.
pub const MANIFEST_SCHEMA: &str = include_str!("schema.json");

/// Run time unless the manifest says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Memory and disk unless the manifest says otherwise.
const DEFAULT_BYTES: u64 = 512 << 20;
/// Less memory than this and no interpreter starts.
const MIN_MEMORY_BYTES: u64 = 16 << 20;
/// Less disk than this and no repository fits.
const MIN_DISK_BYTES: u64 = 1 << 20;

/// What a function's run may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Public hosts, through the worker's proxy.
    Egress,
    /// Nothing.
    None,
}

/// What is done when a forge tells of a commit. A call runs it in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnPush {
    /// It is run.
    #[default]
    Run,
    /// It is prepared, so that it can be called, and not run.
    Build,
}

/// The operator's upper limits. A manifest over one is wrong, never silently cut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// `GITFAAS_MAX_TIMEOUT`
    pub timeout: Duration,
    /// `GITFAAS_MAX_MEMORY`
    pub memory_bytes: u64,
    /// `GITFAAS_MAX_DISK`
    pub disk_bytes: u64,
    /// `GITFAAS_MAX_CPUS`, in thousandths of a core.
    pub cpu_millis: u64,
}

impl Ceilings {
    /// Reads all of them.
    pub fn read(env: &mut Reader<'_>) -> Self {
        Self {
            timeout: env.duration(GITFAAS_MAX_TIMEOUT),
            memory_bytes: env.bytes(GITFAAS_MAX_MEMORY),
            disk_bytes: env.bytes(GITFAAS_MAX_DISK),
            cpu_millis: env.value::<units::Cores>(GITFAAS_MAX_CPUS).millis(),
        }
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::read(&mut Reader::new(&|_| None))
    }
}

/// A manifest that is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// A folder of `runner-images/`.
    pub language: String,
    /// The file to run.
    pub main_file: Option<String>,
    /// A list of packages; `None` when absent or empty.
    pub requirements_file: Option<String>,
    /// Arguments of the program, as they will be in its argv.
    pub args: Vec<String>,
    /// Wall clock of the run phase.
    pub timeout: Duration,
    /// Memory of the program.
    pub memory_bytes: u64,
    /// Size of `/work`.
    pub disk_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// What the run may reach.
    pub network: Network,
    /// Variables of the program.
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets, each given as a variable of that name.
    pub secrets: Vec<String>,
    /// Which branches trigger.
    pub branches: Filter,
    /// Which changed paths trigger.
    pub paths: Filter,
    /// Whether a newer push ends an older job; `None`: yes for branches, no for tags.
    pub supersede: Option<bool>,
    /// What is done when a forge tells of a commit.
    pub on_push: OnPush,
    /// How it is called over HTTP; absent means the defaults.
    pub http: Option<Http>,
    /// Fields that we do not know, for the log.
    pub warnings: Vec<String>,
}

/// What a language needs of a manifest; `None` when there is no such language.
pub trait Languages {
    /// Fields that must be there for `language`.
    fn required_fields(&self, language: &str) -> Option<Vec<String>>;
    /// All languages, for the message.
    fn names(&self) -> Vec<String>;
}

/// Everything that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manifest: {}", problems.join("; "))]
pub struct ManifestError {
    /// One fragment for each wrong field, beginning with its name.
    pub problems: Vec<String>,
}

impl Manifest {
    /// Reads a manifest and reports all that is wrong with it.
    ///
    /// # Errors
    /// Not a JSON object, or at least one wrong field.
    pub fn parse(
        bytes: &[u8],
        ceilings: &Ceilings,
        languages: &impl Languages,
    ) -> Result<Self, ManifestError> {
        let whole = |problem: String| ManifestError { problems: vec![problem] };
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value =
            serde_json::from_slice(text).map_err(|error| whole(format!("is not JSON: {error}")))?;
        let Value::Object(object) = value else { return Err(whole("must be a JSON object".to_owned())) };
        let mut fields = Fields::new(object);

        let language = fields.language(languages);
        let main_file = fields.file("mainFile");
        let requirements_file = fields.file("requirementsFile");
        let args = fields.args();
        let timeout = fields.timeout(DEFAULT_TIMEOUT, ceilings.timeout);
        let memory_bytes = fields.bytes("memory", DEFAULT_BYTES, MIN_MEMORY_BYTES, ceilings.memory_bytes);
        let disk_bytes = fields.bytes("disk", DEFAULT_BYTES, MIN_DISK_BYTES, ceilings.disk_bytes);
        let cpu_millis = fields.cpus(ceilings.cpu_millis);
        let network = fields.network();
        let env = fields.env();
        let secrets = fields.secrets();
        let branches = fields.filter("branches");
        let paths = fields.filter("paths");
        let supersede = fields.boolean("supersede");
        let on_push = fields.on_push();
        let http = fields.http();
        fields.required_by(&language, languages);
        let warnings = fields.finish()?;
        Ok(Self {
            language,
            main_file,
            requirements_file,
            args,
            timeout,
            memory_bytes,
            disk_bytes,
            cpu_millis,
            network,
            env,
            secrets,
            branches,
            paths,
            supersede,
            on_push,
            http,
            warnings,
        })
    }

    /// What the limits come to, for the log.
    pub fn limits(&self) -> String {
        format!(
            "{}, {} memory, {} disk, {} cpus",
            units::show_duration(self.timeout),
            units::show_bytes(self.memory_bytes),
            units::show_bytes(self.disk_bytes),
            self.cpu_millis as f64 / 1000.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Languages for Known {
        fn required_fields(&self, language: &str) -> Option<Vec<String>> {
            match language {
                "python" => Some(vec!["mainFile".to_owned()]),
                "rust" | "nodeJS" => Some(vec![]),
                _ => None,
            }
        }

        fn names(&self) -> Vec<String> {
            ["nodeJS", "python", "rust"].map(str::to_owned).to_vec()
        }
    }

    pub(super) fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text.as_bytes(), &Ceilings::default(), &Known)
    }

    #[test]
    fn the_shortest_manifest_has_the_stated_defaults() {
        let manifest =
            parse(r#"{"language": "python", "mainFile": "main.py", "requirementsFile": ""}"#).unwrap();
        assert_eq!(
            (manifest.timeout, manifest.memory_bytes, manifest.disk_bytes),
            (Duration::from_secs(60), 512 << 20, 512 << 20)
        );
        assert_eq!(
            (manifest.cpu_millis, manifest.network, manifest.requirements_file),
            (1000, Network::Egress, None)
        );
    }

    #[test]
    fn every_wrong_field_is_named_in_one_message() {
        let error = parse(
            r#"{"language": "python", "requirementsFile": "../x", "arg": 7, "timeout": "soon", "memory": "1t", "disk": 5,
                "cpus": -1, "network": "lan", "env": {"GITFAAS_X": "1", "A": 2}, "secrets": ["a b"], "branches": ["a["],
                "paths": "x", "supersede": "yes", "colour": "red", "artifacts": []}"#,
        )
        .unwrap_err();
        insta::assert_snapshot!(error.problems.join("\n"), @r#"
        requirementsFile must be a relative path inside the repository, not "../x"
        arg must be a string or a list of strings
        timeout must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`
        memory must be bytes, or a number with `k`, `m` or `g` (1024-based)
        disk is 5 bytes, below the least of 1m
        cpus must be a number above 0
        network must be "egress" or "none"
        env.A must be a string
        env.GITFAAS_X begins with GITFAAS_, which is reserved
        secrets: "a b" is not a name of a variable
        branches: "a[" is not a glob
        paths must be a list of strings
        supersede must be true or false
        artifacts is reserved and cannot be used yet
        mainFile is missing (python needs it)
        "#);
    }

    #[test]
    fn over_the_ceiling_names_field_value_and_ceiling() {
        let error =
            parse(r#"{"language": "rust", "timeout": "2h", "memory": "8g", "cpus": 64}"#).unwrap_err();
        insta::assert_snapshot!(error, @"manifest: timeout is 7200 s, over the ceiling of 3600 s; memory is 8g, over the ceiling of 4g; cpus is 64, over the ceiling of 4");
    }

    #[test]
    fn an_unknown_field_is_a_warning_and_an_unknown_language_is_not() {
        let manifest = parse(r#"{"language": "rust", "colour": "red"}"#).unwrap();
        assert_eq!(
            manifest.warnings,
            ["faas-manifest.json: the field \"colour\" is not known and has no effect"]
        );
        let error = parse(r#"{"language": "cobol"}"#).unwrap_err();
        insta::assert_snapshot!(error, @r#"manifest: language "cobol" is not one of nodeJS, python, rust"#);
        insta::assert_snapshot!(parse("[]").unwrap_err(), @"manifest: must be a JSON object");
        insta::assert_snapshot!(parse("{").unwrap_err(), @"manifest: is not JSON: EOF while parsing an object at line 1 column 1");
    }

    #[test]
    fn args_are_words_as_a_shell_would_split_them_with_no_expansion() {
        let args = |arg: &str| parse(&format!(r#"{{"language": "rust", "arg": {arg}}}"#)).unwrap().args;
        assert_eq!(
            args(r#""1000 'a b' \"$(reboot)\" $HOME `id` *""#),
            ["1000", "a b", "$(reboot)", "$HOME", "`id`", "*"]
        );
        assert_eq!(args(r#"["a b", "", "x\ny"]"#), ["a b", "", "x\ny"]);
        let error = parse(r#"{"language": "rust", "arg": "it's"}"#).unwrap_err();
        insta::assert_snapshot!(error, @"manifest: arg has a quote that is not closed");
    }

    #[test]
    fn the_published_schema_agrees_with_the_parser() {
        let schema = serde_json::from_str(MANIFEST_SCHEMA).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let table = [
            (
                r#"{"language": "python", "mainFile": "main.py", "arg": ["a"], "timeout": "5m", "cpus": 0.5}"#,
                true,
            ),
            (
                r#"{"language": "rust", "memory": "256m", "env": {"A": "b"}, "secrets": ["KEY"], "network": "none"}"#,
                true,
            ),
            (r#"{"mainFile": "main.py"}"#, false),
            (r#"{"language": "rust", "network": "lan"}"#, false),
            (r#"{"language": "rust", "arg": 7}"#, false),
            (r#"{"language": "rust", "timeout": "soon"}"#, false),
            (r#"{"language": "rust", "env": {"GITFAAS_A": "b"}}"#, false),
            (r#"{"language": "rust", "onPush": "build", "http": {}}"#, true),
            (
                r#"{"language": "rust", "http": {"methods": ["POST"], "response": "cgi", "contentType": "text/html",
                    "wait": "2m", "retry": true, "cors": {"allowOrigins": ["https://example.com"],
                    "allowMethods": ["PUT"], "allowHeaders": ["x-a"], "exposeHeaders": ["x-b"],
                    "allowCredentials": true, "maxAge": 60}}}"#,
                true,
            ),
            (
                r#"{"language": "rust", "http": {"wait": 0, "cors": {"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"]}}}"#,
                true,
            ),
            (r#"{"language": "rust", "onPush": "deploy"}"#, false),
            (r#"{"language": "rust", "http": []}"#, false),
            (r#"{"language": "rust", "http": {"methods": []}}"#, false),
            (r#"{"language": "rust", "http": {"methods": ["TRACE"]}}"#, false),
            (r#"{"language": "rust", "http": {"methods": ["get"]}}"#, false),
            (r#"{"language": "rust", "http": {"methods": ["*"]}}"#, false),
            (r#"{"language": "rust", "http": {"response": "stream"}}"#, false),
            (r#"{"language": "rust", "http": {"contentType": "text"}}"#, false),
            (r#"{"language": "rust", "http": {"wait": 301}}"#, false),
            (r#"{"language": "rust", "http": {"wait": 0.5}}"#, false),
            (r#"{"language": "rust", "http": {"retry": 1}}"#, false),
            (r#"{"language": "rust", "http": {"cors": {}}}"#, false),
            (r#"{"language": "rust", "http": {"cors": {"allowOrigins": ["example.com"]}}}"#, false),
            (r#"{"language": "rust", "http": {"cors": {"allowOrigins": ["https://example.com/"]}}}"#, false),
            (
                r#"{"language": "rust", "http": {"cors": {"allowOrigins": ["*"], "allowHeaders": ["a b"]}}}"#,
                false,
            ),
            (
                r#"{"language": "rust", "http": {"cors": {"allowOrigins": ["*"], "allowCredentials": true}}}"#,
                false,
            ),
        ];
        for (text, right) in table {
            assert_eq!(validator.is_valid(&serde_json::from_str(text).unwrap()), right, "schema: {text}");
            assert_eq!(parse(text).is_ok(), right, "parser: {text}");
        }
    }
}
