//! A small data set of phantoms and an experiment on it, for training that takes seconds.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;

/// Films of each class.
pub const EACH: u64 = 20;

/// Where everything lies.
pub struct PhantomFilms {
    #[allow(dead_code, reason = "the resume test needs it only to stay there")]
    pub folder: tempfile::TempDir,
    pub index: PathBuf,
    pub experiment: PathBuf,
}

/// Draws the films and writes index and experiment.
pub fn draw() -> PhantomFilms {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = String::from("file,label,source,group_id,licence\n");
    for (opacity, label) in [(Opacity::None, "normal"), (Opacity::Focal, "bacterial"), (Opacity::Diffuse, "covid")] {
        for seed in 1..=EACH {
            let file = format!("{label}-{seed}.png");
            write_png(&folder.path().join(&file), &Phantom::new(seed, opacity).sized(240, 224));
            // Two films of each patient.
            writeln!(rows, "{file},{label},drawn,{label}-{},CC0", seed / 2).unwrap();
        }
    }
    let (index, experiment) = (folder.path().join("index.csv"), folder.path().join("experiment.toml"));
    fs::write(&index, rows).unwrap();
    let mut text = String::from(
        "seed = 1\narchitecture = \"efficientnet-lite0\"\npercentile = 0.9999\nrefer_below = 0.4\n\
         limits = \"Phantoms show no disease.\"\n\
         [input]\nwidth = 64\nheight = 64\nfit = \"stretch\"\nexposure_low = 0.01\nexposure_high = 0.99\n\
         mean = 127.0\nstd = 128.0\n\
         [split]\nseed = 1\ntest = 0.2\nvalidation = 0.25\n\
         [augment]\nviews = 2\nrotate = 5.0\nzoom = 0.05\nshift = 0.05\ncontrast = 0.1\n\
         [[stages]]\nname = \"head\"\ntrain_from_block = 18\n\
         learning_rate = 1e-2\nbatch = 8\nepochs = 6\nreduce_after = 2\nreduce_by = 0.5\nstop_after = 6\n\
         [[stages]]\nname = \"tune\"\ntrain_from_block = 14\n\
         learning_rate = 1e-3\nbatch = 8\nepochs = 3\nreduce_after = 1\nreduce_by = 0.5\nstop_after = 3\n",
    );
    for (class, label) in [("normal", "normal"), ("bacterial", "bacterial"), ("covid19", "covid")] {
        write!(text, "[[films]]\nclass = \"{class}\"\nlabel = \"{label}\"\nsource = \"drawn\"\nat_most = 100\n")
            .unwrap();
    }
    fs::write(&experiment, text).unwrap();
    PhantomFilms { folder, index, experiment }
}

fn write_png(path: &Path, phantom: &Phantom) {
    let radiograph = phantom.render().unwrap();
    let Grey::U8(samples) = radiograph.pixels() else { unreachable!("phantoms have 8 bits") };
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), radiograph.width(), radiograph.height());
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
}
