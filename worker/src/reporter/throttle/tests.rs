use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn account(forge: Forge, owner: &str, token: &str) -> Account {
    let api = "https://api.example/".parse().unwrap();
    Account::of(&Target { forge, api, token: token.parse().unwrap() }, owner)
}

fn request(key: &str, urgency: Urgency) -> PostRequest<'_> {
    PostRequest { key, urgency, workers: 1, budget: None }
}

/// How many of so many commits may be written now.
fn admitted(throttle: &Throttle, account: &Account, urgency: Urgency, count: usize, now: Instant) -> usize {
    let may = |n: usize| throttle.admit(account, request(&format!("{urgency:?} {n}"), urgency), now).is_ok();
    (0..count).filter(|n| may(*n)).count()
}

#[test]
fn nothing_is_sent_for_a_token_or_an_owner_before_the_time_is_over() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let limited = account(Forge::Github, "octocat", "t1");
    throttle.pause(&limited, MINUTE, now);
    throttle.pause(&limited, Duration::from_secs(5), now);
    let end = request("k", Urgency::Final);
    for same in [&limited, &account(Forge::Github, "Octocat", "t2"), &account(Forge::Github, "b", "t1")] {
        assert_eq!(throttle.admit(same, end, now), Err(MINUTE));
    }
    assert_eq!(throttle.admit(&account(Forge::Github, "b", "t2"), end, now), Ok(()));
    assert_eq!(throttle.admit(&limited, end, now + MINUTE), Ok(()));
}

#[test]
fn of_a_burst_of_fifty_jobs_thirty_show_that_they_wait_and_every_end_goes_at_once() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    assert_eq!(admitted(&throttle, &github, Urgency::First, 50, now), 30);
    assert_eq!(admitted(&throttle, &github, Urgency::Running, 50, now), 0);
    assert_eq!(admitted(&throttle, &github, Urgency::Final, 50, now), 50);
}

#[test]
fn whoever_pushes_every_other_second_sees_every_job_wait() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    for n in 0..100 {
        let (key, now) = (n.to_string(), start + Duration::from_millis(2_100) * n);
        assert_eq!(throttle.admit(&github, request(&key, Urgency::First), now), Ok(()), "push {n}");
        assert_eq!(throttle.admit(&github, request(&key, Urgency::Final), now), Ok(()), "push {n}");
    }
}

#[test]
fn no_other_state_takes_the_place_of_a_final_one_that_is_still_to_come() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    assert_eq!(admitted(&throttle, &github, Urgency::First, 20, now), 20);
    for n in 100..138 {
        let key = n.to_string();
        assert_eq!(throttle.admit(&github, request(&key, Urgency::Final), now), Ok(()));
    }
    // 58 were sent and 20 ends are to come: one more job and its end are all that fits.
    assert_eq!(throttle.admit(&github, request("one", Urgency::First), now), Ok(()));
    assert_eq!(throttle.admit(&github, request("two", Urgency::First), now), Err(MINUTE));
    for n in 0..20 {
        let key = format!("{:?} {n}", Urgency::First);
        assert_eq!(throttle.admit(&github, request(&key, Urgency::Final), now), Ok(()), "{key}");
    }
    assert_eq!(throttle.admit(&github, request("one", Urgency::Final), now), Ok(()));
    assert_eq!(throttle.admit(&github, request("two", Urgency::Final), now), Err(MINUTE));
}

#[test]
fn an_end_over_the_limit_has_a_turn_of_its_own_and_keeps_it() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    assert_eq!(admitted(&throttle, &github, Urgency::Final, 80, now), 80);
    let later = now + MINUTE / 2;
    assert_eq!(throttle.admit(&github, request("a", Urgency::Final), later), Err(MINUTE / 2));
    assert_eq!(throttle.admit(&github, request("a", Urgency::Final), later + MINUTE / 4), Err(MINUTE / 4));
    assert_eq!(throttle.admit(&github, request("a", Urgency::Final), now + MINUTE), Ok(()));
    assert_eq!(admitted(&throttle, &github, Urgency::Final, 100, now + MINUTE), 79, "it was counted once");
}

#[test]
fn never_more_go_in_an_hour_than_the_forge_allows_and_the_last_fifth_is_for_ends() {
    let throttle = Throttle::default();
    let (github, start) = (account(Forge::Github, "octocat", "t"), Instant::now());
    let mut now = start;
    let mut sent = 0;
    while sent < 400 {
        sent += admitted(&throttle, &github, Urgency::Final, (400 - sent).min(80), now);
        now += MINUTE;
    }
    assert_eq!(throttle.admit(&github, request("p", Urgency::First), now), Err(LONGEST_NON_FINAL_WAIT));
    assert_eq!(admitted(&throttle, &github, Urgency::Final, 80, now), 80);
    now += MINUTE;
    assert_eq!(admitted(&throttle, &github, Urgency::Final, 80, now), 20, "an hour has five hundred");
    assert_eq!(
        throttle.admit(&github, request("p", Urgency::First), start + PER_HOUR.window + 3 * MINUTE),
        Ok(())
    );
}

#[test]
fn what_the_forge_says_is_left_counts_too() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    let left = |remaining| Some(Budget { limit: 5000, remaining, until: now + MINUTE / 2 });
    let asks = |urgency, remaining| {
        throttle.admit(&github, PostRequest { budget: left(remaining), ..request("k", urgency) }, now)
    };
    assert_eq!(asks(Urgency::First, 999), Err(MINUTE / 2));
    assert_eq!(asks(Urgency::Running, 999), Err(MINUTE / 2));
    assert_eq!(asks(Urgency::Final, 1), Ok(()));
    assert_eq!(asks(Urgency::First, 1000), Ok(()));
}

#[test]
fn each_worker_takes_its_part_and_leaves_what_is_over_to_the_others() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let github = account(Forge::Github, "octocat", "t");
    fn among_four(key: &str, urgency: Urgency) -> PostRequest<'_> {
        PostRequest { workers: 4, ..request(key, urgency) }
    }
    for n in 0..20 {
        let key = n.to_string();
        assert_eq!(throttle.admit(&github, among_four(&key, Urgency::Final), now), Ok(()));
    }
    assert_eq!(throttle.admit(&github, among_four("a", Urgency::Final), now), Err(REDELIVER_FINAL_AFTER));
    assert_eq!(throttle.admit(&github, among_four("a", Urgency::Final), now + MINUTE), Ok(()));
}

#[test]
fn other_forges_publish_no_limits() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    let gitea = account(Forge::Gitea, "gitea", "t");
    assert_eq!(admitted(&throttle, &gitea, Urgency::First, 500, now), 500);
    assert_eq!(admitted(&throttle, &gitea, Urgency::Running, 500, now), 500);
}
