//! Radiograph to network input: the one path that device and trainer share. Pure.

use std::cell::RefCell;

use fast_image_resize as fr;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gate;
use crate::radiograph::{Grey, Radiograph};

/// The network's input as its manifest states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputGeometry {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// How a film of another shape is fitted.
    pub fit: Fit,
    /// Fraction of the pixels that may be darker than the input's black, 0..0.5.
    pub exposure_low: f32,
    /// Fraction of the pixels that may be no brighter than the input's white, 0.5..=1.
    pub exposure_high: f32,
    /// Subtracted from the exposed value, which runs over 0..=255.
    pub mean: f32,
    /// Divides the difference; above 0.
    pub std: f32,
    /// Cut off each of the four sides before fitting, as a fraction of that side, 0..=0.4: frames and text stand
    /// there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub margin: f32,
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

/// How a film is brought to the input's width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Squeezed to the input's shape, as the paper does; antialiased bilinear.
    Stretch,
}

/// A network input: three equal planes of `height` x `width` normalised values, channel first.
#[derive(Clone, Debug, PartialEq)]
pub struct InputTensor {
    /// Width, pixels.
    pub width: usize,
    /// Height, pixels.
    pub height: usize,
    /// One plane, row by row; the network's three input channels are each this plane.
    pub plane: Vec<f32>,
}

/// The resizer refused; no radiograph that [`crate::decode`] makes leads here.
#[derive(Debug, Error)]
pub enum PreprocessError {
    /// The samples do not fill the stated size.
    #[error("the film cannot be resized: {0}")]
    Samples(#[from] fr::ImageBufferError),
    /// The sizes or sample types cannot be resized to each other.
    #[error("the film cannot be resized: {0}")]
    Resize(#[from] fr::ResizeError),
}

impl InputGeometry {
    /// The shorter side, pixels, that a film must keep where [`crate::decode::decode_reduced`] may reduce it: twice the
    /// input's longer side, so that resizing still averages, and no less than what the gate asks of a film.
    pub fn at_least(&self) -> u32 {
        let kept = 1.0 - 2.0 * f64::from(self.margin.clamp(0.0, 0.4));
        let twice = (2.0 * f64::from(self.width.max(self.height)) / kept).ceil() as u32;
        twice.max(gate::MIN_SIDE)
    }
}

/// Resizes, spreads the exposure and normalises.
///
/// The exposure window is taken from the resized film's own histogram, so that a 10-bit film in a 16-bit file
/// and an 8-bit export of it give the same input.
///
/// # Errors
/// [`PreprocessError`].
pub fn preprocess(radiograph: &Radiograph, geometry: &InputGeometry) -> Result<InputTensor, PreprocessError> {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    WORKSPACE.with_borrow_mut(|workspace| workspace.preprocess(radiograph, geometry))
}

/// Buffers that each thread keeps from one film to the next; nothing of a film is read from them again.
#[derive(Default)]
struct Workspace {
    resizer: fr::Resizer,
    resized: Option<fr::images::Image<'static>>,
    /// Resized samples on the 16-bit scale, whatever the film's depth.
    samples: Vec<u16>,
    /// How many samples have each value.
    counts: Vec<u32>,
}

impl Workspace {
    fn preprocess(
        &mut self,
        radiograph: &Radiograph,
        geometry: &InputGeometry,
    ) -> Result<InputTensor, PreprocessError> {
        self.resize(radiograph, geometry)?;
        self.count();
        let black = self.quantile(geometry.exposure_low);
        let span = self.quantile(geometry.exposure_high) - black;
        // A film without any contrast becomes all 0.
        let exposed = |sample: u16| {
            if span <= 0.0 { 0.0 } else { ((f32::from(sample) - black) / span).clamp(0.0, 1.0) * 255.0 }
        };
        let plane = self.samples.iter().map(|&sample| (exposed(sample) - geometry.mean) / geometry.std).collect();
        Ok(InputTensor { width: geometry.width as usize, height: geometry.height as usize, plane })
    }

    fn resize(&mut self, radiograph: &Radiograph, geometry: &InputGeometry) -> Result<(), PreprocessError> {
        let Fit::Stretch = geometry.fit;
        let (samples, pixel_type): (&[u8], _) = match radiograph.pixels() {
            Grey::U8(samples) => (samples, fr::PixelType::U8),
            Grey::U16(samples) => (bytemuck::cast_slice(samples), fr::PixelType::U16),
        };
        let source = fr::images::ImageRef::new(radiograph.width(), radiograph.height(), samples, pixel_type)?;
        let fits = |image: &fr::images::Image<'_>| {
            (image.width(), image.height(), image.pixel_type()) == (geometry.width, geometry.height, pixel_type)
        };
        let kept = self.resized.take().filter(fits);
        let mut resized = kept.unwrap_or_else(|| fr::images::Image::new(geometry.width, geometry.height, pixel_type));
        let [left, top] = [radiograph.width(), radiograph.height()]
            .map(|side| f64::from(side) * f64::from(geometry.margin.clamp(0.0, 0.4)));
        let (width, height) = (f64::from(radiograph.width()) - 2.0 * left, f64::from(radiograph.height()) - 2.0 * top);
        let bilinear = fr::ResizeOptions::new()
            .resize_alg(fr::ResizeAlg::Convolution(fr::FilterType::Bilinear))
            .crop(left, top, width, height);
        self.resizer.resize(&source, &mut resized, &bilinear)?;
        self.samples.clear();
        match radiograph.pixels() {
            // 257 maps 0..=255 onto 0..=65,535 exactly.
            Grey::U8(_) => self.samples.extend(resized.buffer().iter().map(|&sample| u16::from(sample) * 257)),
            Grey::U16(_) => self.samples.extend_from_slice(bytemuck::cast_slice(resized.buffer())),
        }
        self.resized = Some(resized);
        Ok(())
    }

    fn count(&mut self) {
        self.counts.clear();
        self.counts.resize(1 << 16, 0);
        for &sample in &self.samples {
            if let Some(count) = self.counts.get_mut(usize::from(sample)) {
                *count += 1;
            }
        }
    }

    /// The value that `fraction` of the samples are no brighter than.
    fn quantile(&self, fraction: f32) -> f32 {
        let rank = (fraction * self.samples.len().saturating_sub(1) as f32).round() as u32;
        let mut seen = 0;
        let value = self.counts.iter().position(|&count| {
            seen += count;
            seen > rank
        });
        value.unwrap_or(0) as f32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::radiograph::Encoding;

    fn geometry(width: u32, height: u32) -> InputGeometry {
        InputGeometry {
            width,
            height,
            fit: Fit::Stretch,
            exposure_low: 0.01,
            exposure_high: 0.99,
            mean: 127.0,
            std: 128.0,
            margin: 0.0,
        }
    }

    fn ramp(width: u32, height: u32, highest: u16) -> Vec<u16> {
        (0..width * height)
            .map(|i| (u64::from(i) * u64::from(highest) / u64::from(width * height - 1)) as u16)
            .collect()
    }

    #[test]
    fn depth_and_exposure_do_not_change_the_input() {
        let (width, height) = (300, 260);
        let tensor = |pixels| {
            preprocess(&Radiograph::new(width, height, pixels, Encoding::Png).unwrap(), &geometry(64, 64)).unwrap()
        };
        let full = tensor(Grey::U16(ramp(width, height, 65_535)));
        for (name, other, tolerance) in [
            ("8 bits", tensor(Grey::U8(ramp(width, height, 255).into_iter().map(|v| v as u8).collect())), 2.0),
            ("10 bits in 16", tensor(Grey::U16(ramp(width, height, 1_023))), 1.0),
            ("a quarter of the light", tensor(Grey::U16(ramp(width, height, 16_000))), 1.0),
        ] {
            let apart = full.plane.iter().zip(&other.plane).map(|(a, b)| (a - b).abs() * 128.0).fold(0.0, f32::max);
            assert!(apart <= tolerance, "{name}: {apart} grey levels apart");
        }
    }

    #[test]
    fn a_film_without_contrast_is_all_black_and_no_nan() {
        let film = Radiograph::new(50, 40, Grey::U8(vec![200; 2_000]), Encoding::Png).unwrap();
        let tensor = preprocess(&film, &geometry(16, 16)).unwrap();
        assert!(tensor.plane.iter().all(|&value| value == -127.0 / 128.0));
    }

    proptest! {
        #[test]
        fn every_shape_gives_the_stated_size_and_range(width in 1u32..80, height in 1u32..80, seed in any::<u16>()) {
            let samples = (0..width * height).map(|i| (i as u16).wrapping_mul(seed)).collect();
            let film = Radiograph::new(width, height, Grey::U16(samples), Encoding::Tiff).unwrap();
            let tensor = preprocess(&film, &geometry(24, 20)).unwrap();
            prop_assert_eq!(tensor.plane.len(), 24 * 20);
            prop_assert!(tensor.plane.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}
