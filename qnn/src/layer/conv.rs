//! Convolutions and matrix products.

use super::{Misfit, Reason, split};
use crate::kernel::{Block, Kernel, Line, Packed, Panels, Strip, Walk};
use crate::map::{Map, Steps};
use crate::rounding::{Bounds, Lanes, PANEL, Rounding};
use crate::team::Team;

/// Bytes of input and output that a block of pixels may touch, so that they stay close to the core while one panel
/// of weights after the other passes over them.
const BLOCK_BYTES: usize = 96 << 10;

/// A block has at least so many pixels, or the weights would be read too often.
const BLOCK_PIXELS: usize = 48;

/// A dense layer with at most so many groups of four channels reads a row of its window in one go.
const FEW_GROUPS: usize = 2;

/// How a window walks over the input; rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Pixels before the first row and column.
    pub before: [usize; 2],
}

impl Window {
    /// The window of one pixel.
    pub const POINT: Self = Self { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], before: [0; 2] };

    /// Pixels under the window.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Appends for every tap and for `count` output pixels from `first` on where the input pixel starts.
    pub fn offsets(&self, (input, output): (Map, Map), first: usize, count: usize, offsets: &mut Vec<u32>) {
        let [kernel_height, kernel_width] = self.kernel;
        for row in 0..kernel_height {
            for column in 0..kernel_width {
                let (mut from, end) = (first, first + count);
                while from < end {
                    let (y, x) = (from / output.width, from % output.width);
                    let run = (output.width - x).min(end - from);
                    self.row(input, [row, column], y, x..x + run, offsets);
                    from += run;
                }
            }
        }
    }

    /// The offsets of one tap for some columns of one output row.
    fn row(&self, input: Map, tap: [usize; 2], y: usize, xs: std::ops::Range<usize>, offsets: &mut Vec<u32>) {
        let [row, column] = tap;
        let [up, left] = [
            (row * self.dilation[0]) as isize - self.before[0] as isize,
            (column * self.dilation[1]) as isize - self.before[1] as isize,
        ];
        let zero = (input.pixels() * input.stride()) as u32;
        let y = (y * self.stride[0]) as isize + up;
        if y < 0 || y >= input.height as isize {
            offsets.extend(xs.map(|_| zero));
            return;
        }
        let start = y as usize * input.width;
        offsets.extend(xs.map(|x| {
            let x = (x * self.stride[1]) as isize + left;
            let inside = x >= 0 && x < input.width as isize;
            if inside { ((start + x as usize) * input.stride()) as u32 } else { zero }
        }));
    }
}

/// Integers of a layer as the network has them.
pub(crate) struct Integers<'a> {
    /// `[outputs, inputs of its group, height, width]`, row by row.
    pub weights: &'a [i8],
    /// Width of a weight's step for every output, or one for all.
    pub scales: &'a [f32],
    /// The numbers that are added, for every output, one for all, or none.
    pub bias: &'a [f32],
}

/// What reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ends {
    pub input: (Map, Steps),
    pub output: (Map, Steps),
    /// The numbers to which an activation clips.
    pub clip: (f64, f64),
}

/// An input that is copied with its padding around it, so that the pixels under a row of the window lie side by side.
#[derive(Debug)]
struct Bare {
    map: Map,
    /// Pixels before the first row and column.
    before: [usize; 2],
}

impl Bare {
    /// The copy, of size `to`.
    fn padded(&self, x: &[u8], to: Map) -> Result<Vec<u8>, Misfit> {
        let stride = self.map.stride();
        if x.len() != self.map.bytes() {
            return Err(Misfit);
        }
        let (x, zero) = x.split_at(self.map.pixels() * stride);
        let mut copy = zero.repeat(to.pixels() + 1);
        let [up, left] = self.before;
        let width = self.map.width.min(to.width.saturating_sub(left));
        let rows = copy.chunks_exact_mut(to.width * stride).skip(up);
        for (row, x) in rows.zip(x.chunks_exact(self.map.width * stride)) {
            for (to, from) in row.iter_mut().skip(left * stride).zip(x.iter().take(width * stride)) {
                *to = *from;
            }
        }
        Ok(copy)
    }
}

/// A layer with weights.
#[derive(Debug)]
pub(crate) struct Conv {
    input: Map,
    output: Map,
    window: Window,
    depthwise: bool,
    /// Groups of four input channels; for dense layers.
    depth: usize,
    /// The layer's input, where `input` is a copy of it with pixels around.
    bare: Option<Bare>,
    weights: Packed,
}

impl Conv {
    /// A convolution in which every output reads all inputs.
    pub fn dense(ends: &Ends, window: Window, integers: &Integers<'_>) -> Result<Self, Reason> {
        let inputs = ends.input.0.channels;
        let taps = window.taps();
        let depth = inputs.div_ceil(4);
        let weight =
            |output: usize, tap: usize, input: usize| integers.weights.get((output * inputs + input) * taps + tap);
        let panels = ends.output.0.channels.div_ceil(PANEL);
        let mut weights = Vec::with_capacity(panels * taps * depth);
        for panel in 0..panels {
            let outputs = panel * PANEL..((panel + 1) * PANEL).min(ends.output.0.channels);
            for tap in 0..taps {
                for group in 0..depth {
                    let mut line = Line::ZERO;
                    for (output, four) in outputs.clone().zip(line.0.as_chunks_mut::<4>().0) {
                        for (input, to) in (4 * group..inputs).zip(four) {
                            *to = weight(output, tap, input).copied().unwrap_or(0);
                        }
                    }
                    weights.push(line);
                }
            }
        }
        let conv = Self::new(ends, window, integers, false, depth, weights)?;
        Ok(if depth <= FEW_GROUPS { conv.by_rows() } else { conv })
    }

    /// A convolution in which every output reads one input, its own.
    pub fn depthwise(ends: &Ends, window: Window, integers: &Integers<'_>) -> Result<Self, Reason> {
        let channels = ends.output.0.channels;
        let [height, width] = window.kernel;
        let weight = |channel: usize, row: usize, column: usize| {
            integers.weights.get((channel * height + row) * width + column).copied().unwrap_or(0)
        };
        let mut weights = Vec::with_capacity(channels.div_ceil(PANEL) * width * height.div_ceil(4));
        for panel in (0..channels).step_by(PANEL) {
            for column in 0..width {
                for first in (0..height).step_by(4) {
                    let mut line = Line::ZERO;
                    for (channel, four) in (panel..channels).zip(line.0.as_chunks_mut::<4>().0) {
                        for (row, to) in (first..height).zip(four) {
                            *to = weight(channel, row, column);
                        }
                    }
                    weights.push(line);
                }
            }
        }
        Self::new(ends, window, integers, true, 0, weights)
    }

    fn new(
        ends: &Ends,
        window: Window,
        integers: &Integers<'_>,
        depthwise: bool,
        depth: usize,
        weights: Vec<Line>,
    ) -> Result<Self, Reason> {
        let &Ends { input: (input, from), output: (output, to), clip: (low, high) } = ends;
        if input.bytes() > u32::MAX as usize {
            return Err("its input is too large".into());
        }
        if output.pixels() == 0 {
            return Err("its output is empty".into());
        }
        let panels = output.channels.div_ceil(PANEL);
        let mut rounding = Rounding {
            bias: vec![Lanes::default(); panels],
            scale: vec![Lanes::default(); panels],
            bounds: Bounds::of(to, low, high),
        };
        let each = (integers.weights.len() / output.channels.max(1)).max(1);
        let lanes = rounding.bias.iter_mut().flat_map(|lanes| &mut lanes.0);
        let scales = rounding.scale.iter_mut().flat_map(|lanes| &mut lanes.0);
        for (channel, ((row, bias), scale)) in integers.weights.chunks(each).zip(lanes).zip(scales).enumerate() {
            let of = |values: &[f32]| if values.len() == 1 { values.first() } else { values.get(channel) }.copied();
            let step = f64::from(of(integers.scales).ok_or("a scale is missing")?) * from.scale;
            let added = of(integers.bias).map_or(0.0, f64::from) / step;
            let (sum, size) = row.iter().fold((0i64, 0i64), |(sum, size), weight| {
                (sum + i64::from(*weight), size + i64::from(weight.unsigned_abs()))
            });
            let folded = added.round_ties_even() - (sum * i64::from(from.zero_point)) as f64;
            let fits = folded.abs() + (size * 255) as f64 <= f64::from(i32::MAX);
            if !fits {
                return Err(format!("the sums of output channel {channel} do not fit into 32 bits").into());
            }
            *bias = folded as i32;
            *scale = (step / to.scale) as f32;
            if !scale.is_finite() {
                return Err(format!("the scale of output channel {channel} is not a number").into());
            }
        }
        Ok(Self { input, output, window, depthwise, depth, bare: None, weights: Packed::new(weights, rounding) })
    }

    /// The same layer with every row of the window as one tap. The weights lie in that order already.
    fn by_rows(self) -> Self {
        let Window { kernel: [height, width], stride, dilation, before } = self.window;
        let padded = Map {
            height: (self.output.height - 1) * stride[0] + (height - 1) * dilation[0] + 1,
            width: (self.output.width - 1) * stride[1] + width,
            ..self.input
        };
        let side_by_side = dilation[1] == 1 && self.input.stride() == 4 * self.depth;
        if width == 1 || !side_by_side || padded.bytes() > u32::MAX as usize {
            return self;
        }
        Self {
            bare: Some(Bare { map: self.input, before }),
            input: padded,
            window: Window { kernel: [height, 1], before: [0; 2], ..self.window },
            depth: width * self.depth,
            ..self
        }
    }

    pub fn output(&self) -> Map {
        self.output
    }

    pub fn run(&self, kernel: Kernel, team: &Team, x: &[u8], out: &mut [u8]) -> Result<(), Misfit> {
        let stride = self.output.stride();
        let all = self.weights.all();
        let out = split(self.output, all.zero_point(), out)?;
        let copy = self.bare.as_ref().map(|bare| bare.padded(x, self.input)).transpose()?;
        let x = copy.as_deref().unwrap_or(x);
        if self.depthwise {
            let row = self.output.width * stride;
            return team.split(out, row, |first, out| self.rows(kernel, x, first, out));
        }
        // One of both all threads must read.
        if team.threads() > 1 && self.weights.bytes() > self.input.bytes() {
            return self.channels(kernel, team, x, out);
        }
        team.split(out, stride, |first, out| self.pixels(kernel, x, all, stride, first, out))
    }

    /// All pixels of a dense layer, every thread some of their channels.
    fn channels(&self, kernel: Kernel, team: &Team, x: &[u8], out: &mut [u8]) -> Result<(), Misfit> {
        let stride = self.output.stride();
        let parts = team.share(stride.div_ceil(PANEL), |panels| {
            let width = (panels.end * PANEL).min(stride) - panels.start * PANEL;
            let mut part = vec![0; self.output.pixels() * width];
            let panels = self.weights.panels(panels).ok_or(Misfit)?;
            self.pixels(kernel, x, panels, width, 0, &mut part)?;
            Ok((width, part))
        })?;
        team.split(out, stride, |first, out| {
            for (pixel, out) in out.chunks_exact_mut(stride).enumerate() {
                let mut from = 0;
                for (width, part) in &parts {
                    let place = (first + pixel) * width;
                    let (to, part) = (out.get_mut(from..from + width), part.get(place..place + width));
                    to.ok_or(Misfit)?.copy_from_slice(part.ok_or(Misfit)?);
                    from += width;
                }
            }
            Ok(())
        })
    }

    /// Some pixels of a dense layer from `first` on, `output` bytes of each.
    fn pixels(
        &self,
        kernel: Kernel,
        x: &[u8],
        panels: Panels<'_>,
        output: usize,
        mut first: usize,
        out: &mut [u8],
    ) -> Result<(), Misfit> {
        let pixels = (BLOCK_BYTES / (self.input.stride() + output)).max(BLOCK_PIXELS);
        let taps = self.window.taps();
        let mut offsets = Vec::with_capacity(taps * pixels);
        for out in out.chunks_mut(pixels * output) {
            offsets.clear();
            let count = out.len() / output;
            self.window.offsets((self.input, self.output), first, count, &mut offsets);
            let mut block = Block::new(x, (taps, &offsets), self.depth, panels, output, out).ok_or(Misfit)?;
            kernel.dense(&mut block);
            first += count;
        }
        Ok(())
    }

    /// Some rows of a depthwise layer from `first` on.
    fn rows(&self, kernel: Kernel, x: &[u8], mut first: usize, out: &mut [u8]) -> Result<(), Misfit> {
        let Window { kernel: window, stride: [down, across], dilation: [_, dilation], .. } = self.window;
        let walk = Walk { window, stride: across, dilation, width: self.output.width };
        let (input, output) = (self.input.stride(), self.output.width * self.output.stride());
        let rows = (BLOCK_BYTES / (self.input.width * input * down + output)).max(1);
        // Every column once, whatever pixels it serves.
        let columns = Window { stride: [down, 1], ..self.window };
        let mut offsets = Vec::with_capacity(rows * window[0] * walk.columns());
        for out in out.chunks_mut(rows * output) {
            offsets.clear();
            let count = out.len() / output;
            for (row, tap) in (first..first + count).flat_map(|row| (0..window[0]).map(move |tap| (row, tap))) {
                columns.row(self.input, [tap, 0], row, 0..walk.columns(), &mut offsets);
            }
            let panels = self.weights.all();
            let mut strip = Strip::new(x, (walk, &offsets), panels, self.output.stride(), out).ok_or(Misfit)?;
            kernel.depthwise(&mut strip);
            first += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A layer with its input, made of few numbers so that a failure is easy to read.
    #[derive(Clone, Debug)]
    struct Case {
        ends: Ends,
        window: Window,
        depthwise: bool,
        weights: Vec<i8>,
        scales: Vec<f32>,
        bias: Vec<f32>,
        x: Vec<u8>,
    }

    fn sides(most: usize) -> impl Strategy<Value = [usize; 2]> {
        prop::array::uniform2(1..=most)
    }

    /// All bytes, the ends more often.
    fn extreme<T: Arbitrary + Clone + 'static>(ends: [T; 2]) -> impl Strategy<Value = T> {
        prop_oneof![2 => any::<T>(), 1 => prop::sample::select(ends.to_vec())]
    }

    prop_compose! {
        fn case()(
            depthwise in any::<bool>(),
            size in sides(9), padding in sides(3), stride in sides(3),
            // The windows that have loops of their own, more often.
            kernel in prop_oneof![sides(5), prop::sample::select(vec![[3; 2], [5; 2], [7; 2]])],
            dilation in prop_oneof![3 => Just([1; 2]), 1 => sides(2)],
            inputs in 1usize..70, outputs in 1usize..70,
            zeros in prop::array::uniform2(extreme([0u8, 255])),
            scale in 1e-3f64..3e-2, clip in prop::option::of(0.5f64..6.0), seven_bits in any::<bool>(),
        )(
            weights in prop::collection::vec(
                extreme(if seven_bits { [-63i8, 63] } else { [-127, 127] })
                    .prop_map(move |weight| if seven_bits { weight.clamp(-63, 63) } else { weight }),
                outputs.max(inputs) * inputs * kernel[0] * kernel[1],
            ),
            scales in prop::collection::vec(1e-3f32..2e-2, if depthwise { inputs } else { outputs }),
            bias in prop::collection::vec(-3.0f32..3.0, if depthwise { inputs } else { outputs }),
            x in prop::collection::vec(extreme([0u8, 255]), (size[0] * size[1] + 1) * 72),
            (depthwise, size, kernel, stride, dilation, padding, inputs, outputs, zeros, scale, clip) in Just(
                (depthwise, size, kernel, stride, dilation, padding, inputs, outputs, zeros, scale, clip)),
        ) -> Case {
            let outputs = if depthwise { inputs } else { outputs };
            let window = Window { kernel, stride, dilation, before: padding };
            let [height, width] = [0, 1].map(|side| {
                let reach = (kernel[side] - 1) * dilation[side] + 1;
                (size[side] + 2 * padding[side]).saturating_sub(reach) / stride[side] + 1
            });
            let input = Map { height: size[0], width: size[1], channels: inputs };
            let output = Map { height, width, channels: outputs };
            let steps = |zero_point, scale| Steps { scale, zero_point };
            let clip = clip.map_or((f64::NEG_INFINITY, f64::INFINITY), |high| (0.0, high));
            let ends = Ends { input: (input, steps(zeros[0], scale)), output: (output, steps(zeros[1], scale * 3.0)), clip };
            let each = kernel[0] * kernel[1] * if depthwise { 1 } else { inputs };
            let mut x = x[..input.bytes()].to_vec();
            x[input.pixels() * input.stride()..].fill(zeros[0]);
            Case { ends, window, depthwise, weights: weights[..each * outputs].to_vec(), scales, bias, x }
        }
    }

    impl Case {
        fn layer(&self) -> Conv {
            let integers = Integers { weights: &self.weights, scales: &self.scales, bias: &self.bias };
            let make = if self.depthwise { Conv::depthwise } else { Conv::dense };
            make(&self.ends, self.window, &integers).unwrap()
        }

        fn run(&self, kernel: Kernel, team: &Team) -> Vec<u8> {
            let mut out = vec![0; self.ends.output.0.bytes()];
            self.layer().run(kernel, team, &self.x, &mut out).unwrap();
            out
        }

        /// The definition: numbers, one after the other.
        fn by_definition(&self, [channel, y, x]: [usize; 3]) -> f64 {
            let (map, from) = self.ends.input;
            let inputs = if self.depthwise { 1 } else { map.channels };
            let [height, width] = self.window.kernel;
            let mut sum = f64::from(self.bias[channel]);
            for input in 0..inputs {
                for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
                    let place = |side: usize, at: usize, tap: usize| {
                        (at * self.window.stride[side] + tap * self.window.dilation[side])
                            .checked_sub(self.window.before[side])
                    };
                    let (Some(y), Some(x)) = (place(0, y, row), place(1, x, column)) else { continue };
                    if y >= map.height || x >= map.width {
                        continue;
                    }
                    let of = if self.depthwise { channel } else { input };
                    let byte = self.x[(y * map.width + x) * map.stride() + of];
                    let weight = self.weights[((channel * inputs + input) * height + row) * width + column];
                    sum += (f64::from(byte) - f64::from(from.zero_point))
                        * from.scale
                        * f64::from(weight)
                        * f64::from(self.scales[channel]);
                }
            }
            sum.clamp(self.ends.clip.0, self.ends.clip.1)
        }
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_bytes_of_the_scalar_one(case in case()) {
            let expected = case.run(Kernel::SCALAR, &Team::default());
            for kernel in Kernel::available() {
                prop_assert_eq!(&case.run(kernel, &Team::default()), &expected, "{}", kernel);
            }
        }

        #[test]
        fn the_scalar_kernel_is_the_definition_to_a_step(case in case()) {
            let out = case.run(Kernel::SCALAR, &Team::default());
            let (map, to) = case.ends.output;
            for y in 0..map.height {
                for (x, channel) in (0..map.width).flat_map(|x| (0..map.channels).map(move |channel| (x, channel))) {
                    let steps = case.by_definition([channel, y, x]) / to.scale + f64::from(to.zero_point);
                    let byte = f64::from(out[(y * map.width + x) * map.stride() + channel]);
                    prop_assert!((steps.clamp(0.0, 255.0) - byte).abs() <= 0.51, "{steps} became {byte}");
                }
            }
        }

        #[test]
        fn a_team_gives_the_bytes_of_one_thread(case in case()) {
            let team = Team::new(3).unwrap();
            prop_assert_eq!(case.run(Kernel::best(), &team), case.run(Kernel::best(), &Team::default()));
        }
    }

    #[test]
    fn a_layer_whose_sums_could_overflow_is_not_made() {
        let map = Map { height: 1, width: 1, channels: 1 };
        let steps = Steps { scale: 1e-3, zero_point: 0 };
        let clip = (f64::NEG_INFINITY, f64::INFINITY);
        let ends = Ends { input: (map, steps), output: (map, steps), clip };
        let integers = Integers { weights: &[1], scales: &[1e-3], bias: &[3e3] };
        let reason = Conv::dense(&ends, Window::POINT, &integers).unwrap_err();
        assert_eq!(reason, "the sums of output channel 0 do not fit into 32 bits");
    }
}
