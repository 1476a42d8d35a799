//! Synthetic frontal chest radiographs: anatomy from analytic shapes, the same for the same seed. Pure.
//!
//! A phantom shows that the road works and that a model still answers as it did; it says nothing of accuracy.
//! Attenuation is added up shape by shape and turned into grey by Beer and Lambert's law, so that overlapping
//! shapes look as overlapping tissue does.

use serde::{Deserialize, Serialize};

use crate::radiograph::{Encoding, Grey, Radiograph, ShapeError};

/// What lies in the lungs of a phantom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opacity {
    /// Clear lungs.
    None,
    /// One dense opacity in one lung, as in lobar pneumonia.
    Focal,
    /// Many faint opacities at the edges of both lungs, as in viral pneumonia.
    Diffuse,
}

/// A phantom that can be drawn at any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Phantom {
    /// Chooses the build of the patient, the noise and the place of the opacities.
    pub seed: u64,
    /// What lies in the lungs.
    pub opacity: Opacity,
    /// Width, pixels, at least 1.
    pub width: u32,
    /// Height, pixels, at least 1.
    pub height: u32,
}

/// An ellipse with a soft edge, in units of the film's width (x) and height (y), 0..=1 from the top left.
#[derive(Clone, Copy)]
struct Blob {
    x: f32,
    y: f32,
    rx: f32,
    ry: f32,
    /// Attenuation at the middle; negative for air inside tissue.
    density: f32,
    /// Width of the edge as a fraction of the radius.
    softness: f32,
}

impl Blob {
    fn attenuation(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = ((x - self.x) / self.rx, (y - self.y) / self.ry);
        let distance_squared = dx * dx + dy * dy;
        let reach = 1.0 + self.softness;
        if distance_squared >= reach * reach {
            return 0.0;
        }
        self.density * ((reach - distance_squared.sqrt()) / self.softness).min(1.0)
    }
}

/// Vigna's splitmix64: a small generator whose values are part of the golden results, so it stands here and
/// not in a crate that may change them.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32)
    }
}

impl Phantom {
    /// A phantom at the size of a small film, 512 x 448 pixels.
    pub fn new(seed: u64, opacity: Opacity) -> Self {
        Self { seed, opacity, width: 512, height: 448 }
    }

    /// The same phantom at another size, pixels.
    #[must_use]
    pub fn sized(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// Draws it, 8 bits grey.
    ///
    /// # Errors
    /// [`ShapeError`] when a side is 0.
    pub fn render(&self) -> Result<Radiograph, ShapeError> {
        Radiograph::new(self.width, self.height, Grey::U8(self.samples()), Encoding::Phantom)
    }

    fn samples(&self) -> Vec<u8> {
        let mut random = Random(self.seed);
        let blobs = self.anatomy(&mut random);
        let ribs_phase = random.between(0.0, 0.06);
        let (width, height) = (self.width as f32, self.height as f32);
        let mut samples = Vec::with_capacity(self.width as usize * self.height as usize);
        for row in 0..self.height {
            let y = (row as f32 + 0.5) / height;
            // Most shapes miss most rows.
            let near: Vec<Blob> =
                blobs.iter().filter(|blob| (y - blob.y).abs() < blob.ry * (1.0 + blob.softness)).copied().collect();
            for column in 0..self.width {
                let x = (column as f32 + 0.5) / width;
                let tissue: f32 = near.iter().map(|blob| blob.attenuation(x, y)).sum();
                let attenuation = (tissue + ribs(x, y, ribs_phase)).max(0.0);
                let noise = random.between(-3.0, 3.0);
                let grey = 245.0 * (1.0 - (-attenuation).exp()) + 4.0 + noise;
                samples.push(grey.clamp(0.0, 255.0) as u8);
            }
        }
        samples
    }

    fn anatomy(&self, random: &mut Random) -> Vec<Blob> {
        let blob = |x, y, rx, ry, density, softness| Blob { x, y, rx, ry, density, softness };
        let build = random.between(0.94, 1.06);
        let tilt = random.between(-0.015, 0.015);
        let lung_height = random.between(0.27, 0.31);
        let mut blobs = vec![
            // Trunk, shoulders, neck.
            blob(0.5, 0.62, 0.44 * build, 0.58, 1.15, 0.08),
            blob(0.5, 0.16, 0.40 * build, 0.12, 0.35, 0.25),
            blob(0.5, 0.02, 0.10, 0.14, 0.55, 0.2),
            // Lungs: air takes most of the trunk's attenuation away again.
            blob(0.30, 0.44 + tilt, 0.145 * build, lung_height, -0.95, 0.12),
            blob(0.70, 0.44 - tilt, 0.135 * build, lung_height, -0.95, 0.12),
            // Spine, mediastinum, heart (to the patient's left, which is on the right of the film).
            blob(0.5, 0.5, 0.035, 0.55, 0.5, 0.3),
            blob(0.5, 0.36, 0.075, 0.26, 0.45, 0.3),
            blob(0.565, 0.60, 0.135 * build, 0.135, 0.8, 0.18),
            // Trachea, hila.
            blob(0.5, 0.16, 0.018, 0.14, -0.35, 0.3),
            blob(0.405, 0.46, 0.04, 0.06, 0.25, 0.8),
            blob(0.60, 0.45, 0.04, 0.06, 0.25, 0.8),
            // Domes of the diaphragm, liver on the right side of the patient.
            blob(0.30, 0.83, 0.21, 0.15, 0.75, 0.12),
            blob(0.71, 0.85, 0.20, 0.15, 0.6, 0.12),
            // Collar bones.
            blob(0.30, 0.155 + tilt, 0.15, 0.014, 0.3, 0.5),
            blob(0.70, 0.155 - tilt, 0.15, 0.014, 0.3, 0.5),
        ];
        match self.opacity {
            Opacity::None => {}
            Opacity::Focal => {
                let side = if random.next() & 1 == 0 { 0.30 } else { 0.70 };
                let (x, y) = (side + random.between(-0.02, 0.02), random.between(0.48, 0.60));
                blobs.push(blob(x, y, random.between(0.07, 0.10), random.between(0.08, 0.12), 0.85, 0.7));
                blobs.push(blob(x + 0.02, y + 0.05, 0.06, 0.06, 0.35, 1.0));
            }
            Opacity::Diffuse => {
                for side in [0.27, 0.73] {
                    for _ in 0..9 {
                        let (x, y) = (side + random.between(-0.09, 0.09), random.between(0.34, 0.66));
                        blobs.push(blob(
                            x,
                            y,
                            random.between(0.025, 0.05),
                            random.between(0.025, 0.05),
                            random.between(0.15, 0.35),
                            1.2,
                        ));
                    }
                }
            }
        }
        blobs
    }
}

/// Ten pairs of ribs as bent bands across the lung fields.
fn ribs(x: f32, y: f32, phase: f32) -> f32 {
    let side = (x - 0.5).abs();
    if !(0.08..0.40).contains(&side) || !(0.14..0.80).contains(&y) {
        return 0.0;
    }
    let along = y - 0.45 * (side - 0.08).powi(2) / 0.1 + phase;
    let within = (along / 0.065).fract();
    if (0.0..0.32).contains(&within) { 0.16 * (within / 0.32 * std::f32::consts::PI).sin() } else { 0.0 }
}
