//! The count against the direct computation, over any order of writing, reading, lagging and
//! starting again.

use std::collections::BTreeMap;

use jobs::{JobSpec, UserId};
use proptest::prelude::*;

use super::*;

/// What happens next; indexes are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Submit,
    Advance { job: usize, run_ms: Option<u64> },
    Read { records: usize },
    TakeSnapshot,
    Restart { snapshot: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Submit),
        6 => (any::<usize>(), proptest::option::of(0..100_000_u64))
            .prop_map(|(job, run_ms)| Step::Advance { job, run_ms }),
        6 => (1..4_usize).prop_map(|records| Step::Read { records }),
        3 => Just(Step::TakeSnapshot),
        1 => any::<usize>().prop_map(|snapshot| Step::Restart { snapshot }),
    ]
}

/// A bucket with a history of one: of each key the last revision alone.
#[derive(Default)]
struct Bucket {
    sequence: u64,
    entries: BTreeMap<u64, Entry<Job>>,
}

impl Bucket {
    fn write(&mut self, job: Job) {
        self.sequence += 1;
        self.entries.retain(|_, entry| entry.value.spec.id != job.spec.id);
        let written_at = Timestamp::from_second(1_000_000 + self.sequence as i64).unwrap();
        let entry = Entry { key: job.spec.id.to_string(), value: job, revision: self.sequence, written_at };
        self.entries.insert(self.sequence, entry);
    }

    fn after(&self, position: u64) -> Option<&Entry<Job>> {
        self.entries.range(position + 1..).next().map(|(_, entry)| entry)
    }

    /// A job's next state: claimed, or handed back or ended; what is over stays.
    fn advance(&mut self, index: usize, run_ms: Option<u64>) {
        let Some(entry) = self.entries.values().nth(index % self.entries.len().max(1)).cloned() else {
            return;
        };
        let mut job = entry.value.clone();
        job.status.created_revision = Some(entry.created_revision());
        job.status.created_at = Some(entry.created_at());
        match (job.status.state, index % 5) {
            (State::Pending, 0) => {
                (job.status.state, job.status.cause) = (State::Error, Some(Cause::Cancelled))
            }
            (State::Pending, _) => {
                (job.status.state, job.status.attempt) = (State::Working, job.status.attempt + 1)
            }
            (State::Working, 0) => job.status.state = State::Pending,
            (State::Working, 1) => (job.status.state, job.status.cause) = (State::Error, Some(Cause::Exit)),
            (State::Working, _) => job.status.state = State::Finish,
            (State::Finish | State::Error, _) => return,
        }
        if job.status.state.is_final() {
            job.status.timings_ms.run = run_ms;
        }
        self.write(job);
    }

    /// The totals, computed from all records at once.
    fn totals(&self) -> Totals {
        let mut totals = Totals { requests: self.entries.len() as u64, ..Totals::default() };
        totals.first_job_at = self.entries.values().map(Entry::<Job>::created_at).min();
        for entry in self.entries.values() {
            if entry.value.status.state.is_final() && entry.value.status.attempt > 0 {
                totals.complete(&entry.value);
            }
        }
        totals
    }
}

fn read_on(counter: &mut JobCounter, bucket: &Bucket, records: usize) {
    for _ in 0..records {
        let Some(entry) = bucket.after(counter.position()) else { return };
        counter.apply(entry);
        counter.apply(entry); // a delivery that is repeated
    }
}

proptest! {
    #[test]
    fn however_it_was_read_the_count_is_that_of_the_records(steps in prop::collection::vec(step(), 1..120)) {
        let mut bucket = Bucket::default();
        let mut counter = JobCounter::default();
        let mut snapshots = Vec::new();
        for step in steps {
            match step {
                Step::Submit => bucket.write(Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git"))),
                Step::Advance { job, run_ms } => bucket.advance(job, run_ms),
                Step::Read { records } => read_on(&mut counter, &bucket, records),
                Step::TakeSnapshot => {
                    if bucket.after(counter.position()).is_none() {
                        snapshots.push(counter.snapshot());
                    }
                }
                Step::Restart { snapshot } => {
                    let index = snapshot % (snapshots.len() + 1);
                    counter = snapshots.get(index).cloned().map_or_else(JobCounter::default, JobCounter::resume);
                }
            }
        }
        read_on(&mut counter, &bucket, usize::MAX);
        prop_assert_eq!(counter.totals(), &bucket.totals());
        for state in [State::Pending, State::Working] {
            let open = bucket.entries.values().filter(|entry| entry.value.status.state == state).count();
            prop_assert_eq!(counter.open(state), open);
        }
    }
}

#[test]
fn averages_are_per_minute_since_the_first_job_and_in_seconds() {
    let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let totals = Totals {
        requests: 30,
        completed: 20,
        runs: 4,
        run_ms_total: 6000,
        first_job_at: Some(first),
        by_end: BTreeMap::new(),
    };
    let statistics = totals.statistics("2026-01-01T00:10:00Z".parse().unwrap(), 77);
    insta::assert_snapshot!(serde_json::to_string_pretty(&statistics).unwrap(), @r#"
    {
      "requests": 30,
      "completed": 20,
      "runs": 4,
      "run_ms_total": 6000,
      "first_job_at": "2026-01-01T00:00:00Z",
      "at": "2026-01-01T00:10:00Z",
      "sequence": 77,
      "averageRequests": 3.0,
      "averageCompleted": 2.0,
      "averageTime": 1.5
    }
    "#);
}

#[test]
fn before_the_first_job_every_average_is_zero() {
    let statistics = Totals::default().statistics(Timestamp::UNIX_EPOCH, 0);
    assert_eq!(statistics.average_requests + statistics.average_completed + statistics.average_time, 0.0);
}
