//! What became of each delivery, in rows that can be read.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;

/// Rows of the table: what was sent, and what came of it.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<String>,
    pub(crate) jobs: BTreeMap<String, usize>,
}

impl Table {
    pub(crate) fn note(&mut self, what: &str, (status, answer): (StatusCode, Value)) {
        let jobs = answer["jobs"].as_array().cloned().unwrap_or_default();
        for job in &jobs {
            *self.jobs.entry(job.as_str().unwrap().to_owned()).or_default() += 1;
        }
        let verdict = answer["verdict"].as_str().unwrap_or("-");
        let reason = answer["reason"].as_str().or(answer["error"]["message"].as_str()).unwrap_or_default();
        let jobs = jobs.len();
        let row = format!("{what} | {} {verdict} {jobs} {}", status.as_u16(), masked(reason));
        self.rows.push(row.trim_end().to_owned());
    }

    /// The rows; what is equal and stands together is one.
    pub(crate) fn shown(&self) -> String {
        let mut lines: Vec<(String, usize)> = Vec::new();
        for row in &self.rows {
            match lines.last_mut().filter(|(last, _)| last == row) {
                Some((_, count)) => *count += 1,
                None => lines.push((row.clone(), 1)),
            }
        }
        let lines = lines.into_iter().map(|(row, count)| match count {
            1 => row,
            count => format!("{count} x {row}"),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A reason without the ids of jobs.
fn masked(reason: &str) -> String {
    let word = |word: &str| {
        if uuid::Uuid::try_parse(word).is_ok() { "<job>".to_owned() } else { word.to_owned() }
    };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
