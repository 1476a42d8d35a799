//! Which films leave the disc, as a function of what is known of them. Pure.
//!
//! A film whose row is recorded may go when the site's policy says so; its row stays for ever. Time never decides alone:
//! the age of a film is known only where both clocks were trusted, or within one run of the board.

use std::time::{Duration, SystemTime};

use crate::clock::Moment;

/// What a site decides about old films. The default removes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Films that are older go.
    pub max_age: Option<Duration>,
    /// Of more films the oldest go.
    pub max_films: Option<usize>,
    /// With less space free, bytes, the oldest go until there is so much.
    pub keep_free: Option<u64>,
    /// A film stays until its reading was exported.
    pub keep_unexported: bool,
    /// A film stays until a person has said a word on its reading.
    pub keep_unreviewed: bool,
}

impl Policy {
    /// Whether any film may ever go.
    pub fn removes(&self) -> bool {
        self.max_age.is_some() || self.max_films.is_some() || self.keep_free.is_some()
    }
}

/// What is known of a settled film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// Number of its reading.
    pub seq: i64,
    /// Space that it and what lies beside it take, bytes.
    pub bytes: u64,
    /// The clocks when its reading was recorded; absent where the row does not say.
    pub recorded: Option<Moment>,
    /// Its reading left the unit.
    pub exported: bool,
    /// A person has said a word on its reading.
    pub reviewed: bool,
}

/// Why a film goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is older than the site keeps films.
    Age,
    /// There are more films than the site keeps.
    Count,
    /// The disc is nearly full.
    Space,
}

impl Why {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Age => "it is older than `storage.max_age_days`",
            Self::Count => "there are more films than `storage.max_films`",
            Self::Space => "less than `storage.keep_free_mib` was free",
        }
    }
}

/// The films to remove, by number, the oldest first. `free` is the space that is free now, bytes.
pub fn to_remove(films: &[Film], policy: &Policy, now: &Moment, free: u64) -> Vec<(i64, Why)> {
    // By number: the order in which they were recorded, whatever the clocks said.
    let mut films: Vec<&Film> = films.iter().collect();
    films.sort_unstable_by_key(|film| film.seq);
    let (mut left, mut free) = (films.len(), free);
    let may_go =
        |film: &&Film| (film.exported || !policy.keep_unexported) && (film.reviewed || !policy.keep_unreviewed);
    let mut gone = Vec::new();
    for film in films.into_iter().filter(may_go) {
        let is_old = policy.max_age.is_some_and(|most| age(film, now).is_some_and(|age| age > most));
        let why = if is_old {
            Why::Age
        } else if policy.max_films.is_some_and(|most| left > most) {
            Why::Count
        } else if policy.keep_free.is_some_and(|least| free < least) {
            Why::Space
        } else {
            continue;
        };
        left -= 1;
        free = free.saturating_add(film.bytes);
        gone.push((film.seq, why));
    }
    gone
}

/// How long ago a film was recorded, if that is known.
fn age(film: &Film, now: &Moment) -> Option<Duration> {
    let then = film.recorded.as_ref()?;
    if then.boot_id.is_some() && then.boot_id == now.boot_id {
        return now.since_boot.checked_sub(then.since_boot);
    }
    let since = |moment: &Moment| moment.wall.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|_| moment.trusted);
    since(now)?.checked_sub(since(then)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn moment() -> impl Strategy<Value = Moment> {
        (0..40u64, 0..3u8, 0..40u64, any::<bool>()).prop_map(|(days, boot, since_boot, trusted)| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400),
            boot_id: Some(boot.to_string()),
            since_boot: Duration::from_secs(since_boot * 86_400),
            trusted,
        })
    }

    fn films() -> impl Strategy<Value = Vec<Film>> {
        let facts = (0..200u64, proptest::option::of(moment()), any::<bool>(), any::<bool>());
        proptest::collection::btree_map(1..500i64, facts, 0..40).prop_map(|films| {
            let film = |(seq, (bytes, recorded, exported, reviewed))| Film { seq, bytes, recorded, exported, reviewed };
            films.into_iter().map(film).collect()
        })
    }

    fn policy() -> impl Strategy<Value = Policy> {
        let days = proptest::option::of(0..40u64);
        (days, proptest::option::of(0..40usize), proptest::option::of(0..4_000u64), any::<bool>(), any::<bool>())
            .prop_map(|(days, max_films, keep_free, keep_unexported, keep_unreviewed)| Policy {
                max_age: days.map(|days| Duration::from_secs(days * 86_400)),
                max_films,
                keep_free,
                keep_unexported,
                keep_unreviewed,
            })
    }

    fn is_kept(film: &Film, policy: &Policy) -> bool {
        policy.keep_unexported && !film.exported || policy.keep_unreviewed && !film.reviewed
    }

    proptest! {
        #[test]
        fn what_the_policy_keeps_stays_and_what_goes_goes_for_a_reason(
            films in films(), policy in policy(), now in moment(), free in 0..4_000u64,
        ) {
            let gone = to_remove(&films, &policy, &now, free);
            let numbers: BTreeSet<i64> = gone.iter().map(|(seq, _)| *seq).collect();
            prop_assert_eq!(numbers.len(), gone.len(), "no film goes twice");
            prop_assert!(gone.is_sorted_by_key(|(seq, _)| *seq), "the oldest goes first");
            let (went, stays): (Vec<&Film>, Vec<&Film>) = films.iter().partition(|film| numbers.contains(&film.seq));
            prop_assert!(!went.iter().any(|film| is_kept(film, &policy)));
            let may_go: Vec<&&Film> = stays.iter().filter(|film| !is_kept(film, &policy)).collect();
            let free_then = free + went.iter().map(|film| film.bytes).sum::<u64>();
            // What the policy wants is reached, or nothing is left that may go.
            prop_assert!(may_go.is_empty() || policy.max_films.is_none_or(|most| stays.len() <= most));
            prop_assert!(may_go.is_empty() || policy.keep_free.is_none_or(|least| free_then >= least));
            let is_old = |film: &Film| policy.max_age.is_some_and(|most| age(film, &now).is_some_and(|age| age > most));
            prop_assert!(!may_go.iter().any(|film| is_old(film)));
            for (seq, why) in &gone {
                let film = films.iter().find(|film| film.seq == *seq).unwrap();
                let holds = match why {
                    Why::Age => is_old(film),
                    Why::Count => policy.max_films.is_some_and(|most| films.len() > most),
                    Why::Space => policy.keep_free.is_some_and(|least| free < least),
                };
                prop_assert!(holds, "{} {:?}", seq, why);
            }
        }

        #[test]
        fn nothing_more_goes_after_what_went_and_nothing_at_all_without_a_policy(
            films in films(), policy in policy(), now in moment(), free in 0..4_000u64,
        ) {
            let gone: BTreeSet<i64> = to_remove(&films, &policy, &now, free).into_iter().map(|(seq, _)| seq).collect();
            let (went, stays): (Vec<Film>, Vec<Film>) = films.iter().cloned().partition(|film| gone.contains(&film.seq));
            let free_then = free + went.iter().map(|film| film.bytes).sum::<u64>();
            prop_assert_eq!(to_remove(&stays, &policy, &now, free_then), []);
            prop_assert_eq!(to_remove(&films, &Policy::default(), &now, 0), []);
        }

        #[test]
        fn a_clock_that_nobody_set_makes_no_film_old(films in films(), mut now in moment(), days in 0..40u64) {
            now.trusted = false;
            now.boot_id = None;
            let policy = Policy { max_age: Some(Duration::from_secs(days)), ..Policy::default() };
            prop_assert_eq!(to_remove(&films, &policy, &now, 0), []);
        }
    }
}
