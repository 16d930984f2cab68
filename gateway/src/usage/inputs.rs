//! The place of a new job: one in the queue, and one for its input, if it has one.
//!
//! Inputs of jobs that are over are history: where a new one does not fit beside them, the oldest jobs that have one
//! go at once. Those of jobs that are not over stay; what does not fit beside them is refused.

use jobs::{
    JobId, JobInput, JobSpec,
    usage::{Hold, Resource},
};

use crate::{
    error::ApiError,
    index::JobSize,
    usage::{Budgets, OverLimit, reservations::ReservationRequest, too_many},
};

/// What the id of a reservation for an input ends with; before it stands the job.
pub(super) const OF_INPUT: &str = "#input";
/// Room is made for so many percent of the limit more than is needed, so that it is not made with each new job.
const SPARE_PERCENT: u64 = 5;
/// Jobs that go for one new one at most; retention deletes further ones.
const MOST_DELETED: usize = 100;

fn id_of_input(job: JobId) -> String {
    format!("{job}{OF_INPUT}")
}

impl Budgets {
    /// Reserves a place in the queue for a new job, and the size of its input, with one write.
    ///
    /// # Errors
    /// [`ApiError::TooMany`]: which limit is reached, how much is used, and what frees it.
    pub(crate) async fn reserve_job(&self, new: &JobSpec) -> Result<(), ApiError> {
        let Some(input) = &new.input else {
            return self.reserve(new.owner, new.id, Resource::Queued, 1).await;
        };
        let mut over_limit = match self.try_reserve_job(new, input).await? {
            Ok(()) => return Ok(()),
            Err(over_limit) => over_limit,
        };
        if over_limit.of == Resource::Inputs && self.make_room(new, input).await? {
            match self.try_reserve_job(new, input).await? {
                Ok(()) => return Ok(()),
                Err(again) => over_limit = again,
            }
        }
        self.release_job(new);
        Err(too_many(over_limit))
    }

    async fn try_reserve_job(
        &self,
        new: &JobSpec,
        input: &JobInput,
    ) -> Result<Result<(), OverLimit>, ApiError> {
        let place =
            ReservationRequest { id: new.id.to_string(), hold: Hold { of: Resource::Queued, amount: 1 } };
        let size = Hold { of: Resource::Inputs, amount: input.stored_bytes() };
        let size = ReservationRequest { id: id_of_input(new.id), hold: size };
        let answers = self.try_reserve_each(new.owner, vec![place, size]).await?;
        Ok(answers.into_iter().collect())
    }

    /// Releases what was reserved for a job that is not made, or is deleted already.
    pub(crate) fn release_job(&self, job: &JobSpec) {
        self.release(job.owner, job.id);
        if job.input.is_some() {
            self.release(job.owner, id_of_input(job.id));
        }
    }

    /// Deletes the oldest jobs that are over and have an input, so that this one fits. Returns whether any was
    /// deleted.
    async fn make_room(&self, new: &JobSpec, input: &JobInput) -> Result<bool, ApiError> {
        let owner = new.owner;
        let limit = self.limit_of(owner, Resource::Inputs);
        let sizes = self.index.run(move |tables| tables.job_sizes(owner)).await?;
        let mut deleted = 0;
        for job in jobs_in_the_way(&sizes, limit, input.stored_bytes(), new.rerun_of) {
            let Some(entry) = self.ledger.job(job).await? else { continue };
            // A record that was rewritten with another owner is left alone.
            deleted += usize::from(entry.value.spec.owner == owner && self.delete_job(&entry).await?);
        }
        if deleted > 0 {
            tracing::info!(%owner, jobs = deleted, "old inputs deleted");
            self.metrics.history_deleted(deleted, 0);
        }
        Ok(deleted > 0)
    }
}

/// The jobs that go so that so many bytes more fit, oldest first; none where they would not fit even then. What is
/// about to be repeated stays.
fn jobs_in_the_way(sizes: &[JobSize], limit: u64, bytes: u64, repeated: Option<JobId>) -> Vec<JobId> {
    let may_go = |size: &&JobSize| size.is_final && size.input > 0 && Some(size.job) != repeated;
    let used: u64 = sizes.iter().map(|size| size.input).sum();
    let removable: u64 = sizes.iter().filter(may_go).map(|size| size.input).sum();
    if used - removable + bytes > limit {
        return Vec::new();
    }
    let wanted = bytes + limit / 100 * SPARE_PERCENT;
    let mut left = used;
    let mut going = Vec::new();
    for size in sizes.iter().filter(may_go).take(MOST_DELETED) {
        if left + wanted <= limit {
            break;
        }
        left -= size.input;
        going.push(size.job);
    }
    going
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    /// Of five jobs with these inputs, the second of which is not over; the numbers of those that go.
    fn going(inputs: [u64; 5], bytes: u64, repeated: Option<usize>) -> Vec<usize> {
        let of = |(number, input)| {
            let job = JobId::new();
            JobSize { job, is_final: number != 1, record: 1, log: 0, result: 0, input }
        };
        let sizes: Vec<JobSize> = inputs.into_iter().enumerate().map(of).collect();
        let gone = jobs_in_the_way(&sizes, 1000, bytes, repeated.map(|number| sizes[number].job));
        let number = |job: JobId| sizes.iter().position(|size| size.job == job).unwrap_or(usize::MAX);
        gone.into_iter().map(number).collect()
    }

    #[test_case([100, 100, 100, 100, 100], 400, None => Vec::<usize>::new() ; "it fits")]
    #[test_case([200, 200, 200, 200, 200], 150, None => vec![0] ; "the oldest goes")]
    #[test_case([200, 200, 200, 200, 200], 200, None => vec![0, 2] ; "a little room is made besides")]
    #[test_case([200, 200, 200, 200, 200], 150, Some(0) => vec![2] ; "what is repeated stays")]
    #[test_case([0, 200, 400, 0, 400], 340, None => vec![2] ; "only jobs with an input go")]
    #[test_case([200, 200, 200, 200, 200], 800, None => vec![0, 2, 3, 4] ; "all that may")]
    #[test_case([200, 200, 200, 200, 200], 801, None => Vec::<usize>::new() ; "nothing goes in vain")]
    #[test_case([200, 200, 200, 200, 200], 9000, None => Vec::<usize>::new() ; "more than the limit")]
    fn room_for(inputs: [u64; 5], bytes: u64, repeated: Option<usize>) -> Vec<usize> {
        going(inputs, bytes, repeated)
    }
}
