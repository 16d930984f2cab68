//! The table of settings as `.env.example` and as `docs/settings.md`.

use jobs::settings::{GROUPS, Kind, Preset, Setting};

const EXAMPLE_HEAD: &str = "\
# Every setting, with its default. The programs read these as environment variables; docker-compose.yml
# takes them from the file .env, in which scripts/secrets puts the passwords. `gitfaas config` lists them too.
# Sizes are bytes or \"256m\", \"1g\" (1024-based); durations \"90s\", \"5m\", \"24h\", \"90d\"; lists have commas.
# Written by scripts/settings from jobs/src/settings.
";

const MARKDOWN_HEAD: &str = "\
<!-- Written by scripts/settings from jobs/src/settings. -->
# Settings

Settings are environment variables. They are read once, at the start; every wrong one is named at once, with exit
code 64. `gitfaas config` lists them, and tells which are set. An empty variable counts as not set. A service logs a
name that begins with `GITFAAS_` and is no setting, with the nearest one that is.

Sizes are bytes or `256m`, `1g` (1024-based), durations `90s`, `5m`, `24h`, `90d`, lists have commas, an address
is an IP address and a port.
";

/// Characters of a line of comment, without its `# `.
const WIDTH: usize = 108;

pub(crate) fn env_example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for group in GROUPS {
        text.push_str(&format!("\n# --- {} ---\n", group.title));
        for setting in group.settings {
            let mut sentence = upper(setting.help).replace('`', "");
            if let Preset::Words(words) = setting.default {
                sentence.push_str(&format!(" (default: {})", words.replace('`', "")));
            }
            for line in wrapped(&format!("{sentence}.")) {
                text.push_str(&format!("# {line}\n"));
            }
            text.push_str(&format!("#{}={}\n", setting.name, setting.default.value().unwrap_or_default()));
        }
    }
    text
}

pub(crate) fn markdown() -> String {
    let mut text = MARKDOWN_HEAD.to_owned();
    for group in GROUPS {
        text.push_str(&format!(
            "\n## {}\n\n| setting | kind | default | |\n|---|---|---|---|\n",
            group.title
        ));
        for setting in group.settings {
            let (name, kind, default) = (setting.name, setting.kind.as_str(), default(setting));
            text.push_str(&format!("| `{name}` | {kind} | {default} | {}{} |\n", setting.help, was(setting)));
        }
    }
    text
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Preset::Value(text) => format!("`{text}`"),
        Preset::Words(text) => text.to_owned(),
        Preset::Nothing if setting.kind == Kind::List => "none".to_owned(),
        Preset::Nothing => String::new(),
    }
}

fn was(setting: &Setting) -> String {
    let names: Vec<_> = setting.old_names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; {} is taken too", names.join(", ")) }
}

/// With a capital letter, unless it begins with something quoted.
fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
