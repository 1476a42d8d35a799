//! From sums to bytes: the one piece of arithmetic that every kernel must do alike to the bit.
//!
//! `byte = round(clamp(f32(sum) * scale, low, high)) + zero_point`, to the nearest, halves to even. The clamp comes
//! first, so that no vector unit ever converts a number that does not fit.

use crate::map::Steps;

/// Output channels that stand side by side in packed weights, and with them in the numbers below.
pub(crate) const PANEL: usize = 16;

/// A number for each channel of a panel, aligned for the widest vector unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub [T; PANEL]);

/// What a channel's sum becomes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// Added to the sums before they are scaled, panel by panel.
    pub bias: Vec<Lanes<i32>>,
    /// Steps of the output in one unit of a sum, panel by panel.
    pub scale: Vec<Lanes<f32>>,
    pub bounds: Bounds,
}

/// The bytes that an output may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// The smallest and largest byte, less the zero point.
    pub low: f32,
    pub high: f32,
    pub zero_point: u8,
}

impl Bounds {
    /// The bytes of `steps` that tell numbers from `low` to `high`.
    pub fn of(steps: Steps, low: f64, high: f64) -> Self {
        let zero_point = f64::from(steps.zero_point);
        let byte = |number: f64| ((number / steps.scale).round_ties_even() + zero_point).clamp(0.0, 255.0);
        let (low, high) = (byte(low), byte(high));
        Self { low: (low - zero_point) as f32, high: (high.max(low) - zero_point) as f32, zero_point: steps.zero_point }
    }

    /// The byte of a number that is already in steps of the output.
    #[inline(always)]
    pub fn byte(&self, steps: f32) -> u8 {
        (round(steps.max(self.low).min(self.high)) + i32::from(self.zero_point)) as u8
    }
}

/// Rounds a number between -2^22 and 2^22 to the nearest integer, halves to even. Adding 1.5 * 2^23 leaves no bits for
/// a fraction; this is exact, needs no instruction beyond SSE2, and a compiler can do many at a time.
#[inline(always)]
pub(crate) fn round(number: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (number + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest_and_halves_go_to_even(number in -300.0f32..300.0, half in -600i32..600) {
            prop_assert_eq!(round(number), number.round_ties_even() as i32);
            let half = half as f32 / 2.0;
            prop_assert_eq!(round(half), half.round_ties_even() as i32);
        }

        #[test]
        fn clamping_before_rounding_equals_clamping_after_it(
            number in -1e9f32..1e9, scale in 1e-4f64..10.0, zero_point: u8, low in -20.0f64..0.0, high in 0.0f64..20.0,
        ) {
            let bounds = Bounds::of(Steps { scale, zero_point }, low, high);
            let zero = f32::from(zero_point);
            let after = number.round_ties_even().clamp(bounds.low, bounds.high) + zero;
            prop_assert_eq!(f32::from(bounds.byte(number)), after);
        }
    }
}
