//! From the values that were seen to the range that bytes shall cover. Pure.

use crate::experiment::Observer;

/// Steps in which a range is counted out.
pub(super) const BINS: usize = 4_096;

/// Steps of a byte.
const STEPS: usize = 256;

/// Ends that are tried, of all bins.
const TRIED: usize = 128;

/// The values of one name; 0 is always among them, because padding needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// At most 0.
    pub low: f32,
    /// At least 0.
    pub high: f32,
}

impl Range {
    pub(super) fn widen(&mut self, values: &[f32]) {
        for value in values {
            self.low = self.low.min(*value);
            self.high = self.high.max(*value);
        }
    }
}

/// How often a value lay in each of [`BINS`] equal parts of its range.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    pub range: Range,
    pub counts: Vec<u64>,
}

impl Histogram {
    pub fn count(&mut self, values: &[f32]) {
        let scale = BINS as f32 / (self.range.high - self.range.low).max(f32::MIN_POSITIVE);
        for value in values {
            let bin = ((value - self.range.low) * scale) as usize;
            if let Some(count) = self.counts.get_mut(bin.min(BINS - 1)) {
                *count += 1;
            }
        }
    }

    /// The range that the observer chooses.
    pub fn chosen(&self, observer: Observer) -> Range {
        match observer {
            Observer::Percentile(inside) => self.percentile(inside),
            Observer::Entropy => self.least(&|kept| self.divergence(kept)),
            Observer::Mse => self.least(&|kept| self.squared_error(kept)),
        }
    }

    /// The range without the outer values; the bin in which a percentile falls stays whole, so that small tensors
    /// keep their largest value.
    fn percentile(&self, inside: f64) -> Range {
        let outside = (self.counts.iter().sum::<u64>() as f64 * (1.0 - inside)).floor() as u64;
        let passed = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut seen = 0;
            counts
                .take_while(|count| {
                    seen += **count;
                    seen <= outside
                })
                .count()
        };
        self.of(passed(&mut self.counts.iter()), BINS - passed(&mut self.counts.iter().rev()))
    }

    /// The range from bin `first` up to, not including, bin `end`.
    fn of(&self, first: usize, end: usize) -> Range {
        let step = (self.range.high - self.range.low) / BINS as f32;
        Range {
            low: (self.range.low + first as f32 * step).min(0.0),
            high: (self.range.high - (BINS - end.min(BINS)) as f32 * step).max(0.0),
        }
    }

    /// The bins whose loss is least: first the upper end is tried inwards, then the lower one.
    fn least(&self, loss: &dyn Fn((usize, usize)) -> f64) -> Range {
        let zero = self.zero();
        let best = |tried: &mut dyn Iterator<Item = (usize, usize)>| {
            tried.map(|kept| (loss(kept), kept)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or((0, BINS), |(_, kept)| kept)
        };
        let inwards = |from: usize, to: usize, share: usize| {
            (from as i64 + (to as i64 - from as i64) * share as i64 / TRIED as i64) as usize
        };
        // A byte cannot tell more than its steps apart: a range of fewer bins only clips.
        let least = (zero + STEPS).min(BINS);
        let (_, end) = best(&mut (0..TRIED).map(|share| (0, inwards(BINS, least, share))));
        let (first, end) = best(&mut (0..TRIED).map(|share| (inwards(0, zero, share), end)));
        self.of(first, end)
    }

    /// The bin that holds 0.
    fn zero(&self) -> usize {
        let step = (self.range.high - self.range.low) / BINS as f32;
        if step > 0.0 { ((-self.range.low / step) as usize).min(BINS - 1) } else { 0 }
    }

    /// Squared error, in bins, of rounding to the steps of a byte over the kept bins and clipping the others.
    fn squared_error(&self, (first, end): (usize, usize)) -> f64 {
        let step = (end - first) as f64 / (STEPS - 1) as f64;
        let error = |bin: usize| {
            let value = bin as f64 + 0.5 - first as f64;
            let rounded = (value / step).round().clamp(0.0, (STEPS - 1) as f64) * step;
            (value - rounded).powi(2)
        };
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(bin, count)| *count as f64 * error(bin))
            .sum()
    }

    /// Information lost when the kept bins, with the clipped ones at their ends, are told by the steps of a byte. The bin
    /// of 0 is left out: every range has a step there, and the zeros of a ReLU, more than all else, would make any other
    /// step look too wide.
    fn divergence(&self, (first, end): (usize, usize)) -> f64 {
        let mut counts = self.counts.clone();
        counts.get_mut(self.zero()).into_iter().for_each(|zeros| *zeros = 0);
        let Some(kept) = counts.get(first..end) else { return f64::INFINITY };
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let below: u64 = counts.iter().take(first).sum();
        let above: u64 = counts.iter().skip(end).sum();
        let mut clipped = kept.to_vec();
        if let Some(lowest) = clipped.first_mut() {
            *lowest += below;
        }
        if let Some(highest) = clipped.last_mut() {
            *highest += above;
        }
        // What a byte tells of a bin is the mean over the bins of its step that are not empty.
        let steps = STEPS.min(kept.len()).max(1);
        let mut lost = 0.0;
        for step in 0..steps {
            let within = step * kept.len() / steps..(step + 1) * kept.len() / steps;
            let told: u64 = kept.get(within.clone()).map_or(0, |bins| bins.iter().sum());
            let bins = clipped.get(within).unwrap_or_default();
            let filled = bins.iter().filter(|count| **count > 0).count().max(1) as f64;
            let mean = (told as f64 / filled).max(1e-3);
            lost += bins
                .iter()
                .filter(|count| **count > 0)
                .map(|count| *count as f64 * (*count as f64 / mean).ln())
                .sum::<f64>();
        }
        lost / total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(range: Range, counts: Vec<u64>) -> Histogram {
        Histogram { range, counts }
    }

    #[test]
    fn percentiles_drop_outliers_but_never_zero_and_never_the_bulk() {
        let whole = Range { low: -2.0, high: 6.0 };
        let mut all = histogram(whole, vec![10; BINS]);
        assert_eq!(all.percentile(1.0), whole);
        // All but one of a million values lie in the lower half.
        all.counts = vec![0; BINS];
        all.counts[0] = 1_000_000;
        all.counts[BINS / 2 - 1] = 1_000_000;
        all.counts[BINS - 1] = 1;
        assert_eq!(all.percentile(0.9999), Range { low: -2.0, high: 2.0 });
        assert_eq!(all.percentile(1.0), whole);
        // A small tensor keeps its one large value.
        all.counts.iter_mut().for_each(|count| *count = (*count).min(100));
        assert_eq!(all.percentile(0.9999), whole);
        let mut positive = histogram(Range { low: 0.0, high: 1.0 }, vec![0; BINS]);
        positive.counts[BINS - 1] = 5;
        assert_eq!(positive.percentile(0.99).low, 0.0);
    }

    /// A bell in the lowest eighth of a range, and one value at its end.
    fn bell_and_outlier() -> Histogram {
        let mut counts = vec![0; BINS];
        for (bin, count) in counts.iter_mut().enumerate().take(BINS / 8) {
            let x = (bin as f64 - 256.0) / 80.0;
            *count = (1e6 * (-x * x / 2.0).exp()) as u64;
        }
        counts[BINS - 1] = 1;
        histogram(Range { low: 0.0, high: 8.0 }, counts)
    }

    #[test]
    fn entropy_and_mse_give_up_an_outlier_for_the_resolution_of_the_bulk() {
        for observer in [Observer::Entropy, Observer::Mse] {
            let chosen = bell_and_outlier().chosen(observer);
            assert_eq!(chosen.low, 0.0, "{observer:?}");
            assert!((0.4..=1.2).contains(&chosen.high), "{observer:?}: {chosen:?}");
        }
    }

    #[test]
    fn an_even_histogram_keeps_its_whole_range() {
        let even = histogram(Range { low: -1.0, high: 1.0 }, vec![100; BINS]);
        for observer in [Observer::Entropy, Observer::Mse, Observer::Percentile(1.0)] {
            let Range { low, high } = even.chosen(observer);
            assert!(low <= -0.97 && high >= 0.97, "{observer:?}: {low} {high}");
        }
    }

    #[test]
    fn the_zeros_of_a_relu_do_not_narrow_the_range_of_what_it_lets_pass() {
        let mut counts: Vec<u64> = (0..BINS as u64).map(|bin| 2 * BINS as u64 - bin).collect();
        counts[0] = 100 * counts.iter().sum::<u64>();
        let relu = histogram(Range { low: 0.0, high: 6.0 }, counts);
        for observer in [Observer::Entropy, Observer::Mse, Observer::Percentile(0.9999)] {
            let chosen = relu.chosen(observer);
            assert!(chosen.low == 0.0 && chosen.high >= 5.8, "{observer:?}: {chosen:?}");
        }
    }

    #[test]
    fn the_squared_error_is_that_of_rounding() {
        // One value a bin: over 255 bins every centre is half a bin from a step; over all of them the error is that
        // of an even distribution over a step, its square over twelve.
        let even = histogram(Range { low: 0.0, high: 1.0 }, vec![1; BINS]);
        let step = BINS as f64 / 255.0;
        let expected = BINS as f64 * step * step / 12.0;
        assert!((even.squared_error((0, BINS)) / expected - 1.0).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn every_observer_keeps_zero_and_stays_within_what_was_seen(
            low in -5.0f32..=0.0, high in 0.0f32..5.0, seeds in prop::collection::vec((0usize..BINS, 1u64..1_000), 1..40),
        ) {
            let mut counts = vec![0; BINS];
            seeds.into_iter().for_each(|(bin, count)| counts[bin] += count);
            let all = histogram(Range { low, high }, counts);
            for observer in [Observer::Entropy, Observer::Mse, Observer::Percentile(0.999)] {
                let chosen = all.chosen(observer);
                prop_assert!(chosen.low <= 0.0 && chosen.high >= 0.0);
                prop_assert!(chosen.low >= low - 1e-5 && chosen.high <= high + 1e-5);
            }
        }
    }
}
