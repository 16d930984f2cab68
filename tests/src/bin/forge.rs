//! A small forge for demonstrations: serves the bare repositories of a folder over HTTP, takes commit
//! statuses as GitHub does, and prints them.
//!
//! `forge --listen 127.0.0.1:0 --repos DIR [--token T]`: a repository `DIR/<owner>/<name>.git` is at
//! `http://…/<owner>/<name>.git`. Standard output: `ready http://…`, then one line for each status,
//! `status <sha12> <state> <context> "<description>" <url>`.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use tests::{FakeForge, fake_forge::Status};
use tokio::net::TcpListener;

const USAGE: &str = "usage: forge --listen ADDRESS --repos DIR [--token T]";

struct Wishes {
    listen: String,
    repos: PathBuf,
    token: Option<String>,
}

fn wishes(mut words: impl Iterator<Item = String>) -> Option<Wishes> {
    let (mut listen, mut repos, mut token) = (None, None, None);
    while let Some(word) = words.next() {
        let value = words.next();
        match word.as_str() {
            "--listen" => listen = value,
            "--repos" => repos = value.map(PathBuf::from),
            "--token" => token = value,
            _ => return None,
        }
    }
    Some(Wishes { listen: listen?, repos: repos?, token })
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(wishes) = wishes(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(wishes).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(wishes: Wishes) -> anyhow::Result<()> {
    let listener = TcpListener::bind(&wishes.listen).await?;
    let forge = FakeForge::serve(listener, &wishes.repos.canonicalize()?, wishes.token);
    say(&format!("ready {}", forge.url()))?;
    let mut news = forge.watch();
    let mut told = 0;
    while news.changed().await.is_ok() {
        let new: Vec<Status> = news.borrow_and_update().iter().skip(told).cloned().collect();
        told += new.len();
        for status in new {
            let Status { sha, state, context, description, target_url, .. } = status;
            let sha = sha.get(..12).unwrap_or(&sha);
            say(&format!("status {sha} {state} {context} {description:?} {target_url}"))?;
        }
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
