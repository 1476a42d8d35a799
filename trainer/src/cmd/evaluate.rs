//! `chestlight-trainer evaluate`: what a model is worth, measured through chestlight.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chestlight::decode::{Limits, decode};
use chestlight::gate;
use chestlight::model::{Model, ModelFiles};
use chestlight::preprocess::{Fit, InputGeometry, InputTensor, preprocess};
use chestlight::radiograph::Radiograph;
use chestlight::reading;
use chestlight::show::NOTICE;
use chestlight::verdict::Class;
use chestlight_trainer::evaluate::{self, ANSWERS, Confusion, Evaluation, Rate};
use chestlight_trainer::experiment::{Control, Experiment};
use chestlight_trainer::index::{Film, Index};
use chestlight_trainer::judge::{self, Judged, median_milliseconds};
use chestlight_trainer::measure::{calibrated, coverage, curves, retempered, scores};
use chestlight_trainer::outlier::Outlier;
use chestlight_trainer::perturb::Perturbation;
use chestlight_trainer::report::{
    Calibration, ClassFigures, Controls, External, Gate, GatePoint, ModelName, Part, Report, Stress, WorstError, page,
};
use chestlight_trainer::result::JobResult;
use chestlight_trainer::saliency::{self, Saliency};
use chestlight_trainer::source::{self, Features};
use chestlight_trainer::split::{self, Sample};
use chestlight_trainer::{augment, onnx, parallel};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::{bar, read_curve, write};

/// Wrong answers that the page shows.
const WORST: usize = 12;
/// Films of each source over which the source predictor is fitted.
const PREDICTED: usize = 150;
/// Sources of fewer films are too few to be told apart.
const FEWEST: usize = 20;
/// Films of which each kind of outlier is made.
const MADE: usize = 40;
/// Films whose class maps are examined; each takes some fifty passes of the network.
const MAPPED: usize = 24;
/// Side of a small picture, pixels.
const THUMBNAIL: u32 = 160;

/// Measures a model on the films of an experiment, read by chestlight as a unit reads them
#[derive(clap::Args)]
pub struct Args {
    /// The model's manifest, its network beside it
    #[arg(long, value_name = "TOML")]
    model: PathBuf,
    /// The experiment that says which films are in which part
    #[arg(long, value_name = "FILE")]
    experiment: PathBuf,
    /// The index of the films
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// Which part
    #[arg(long, value_enum, default_value = "test")]
    part: split::Part,
    /// The whole report: a page that needs nothing else, and its figures as JSON beside it. It holds small pictures
    /// of films
    #[arg(long, value_name = "HTML")]
    out: Option<PathBuf>,
    /// The run that made the model, for its learning curve
    #[arg(long, value_name = "FOLDER", requires = "out")]
    run: Option<PathBuf>,
    /// result.json of a job that left a source out; may be repeated
    #[arg(long, value_name = "FILE", requires = "out")]
    leave_one_out: Vec<PathBuf>,
    /// A folder of what must be refused; its subfolders are told apart
    #[arg(long, value_name = "FOLDER", requires = "out")]
    outliers: Option<PathBuf>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = ModelFiles::read(&args.model)?.load()?;
    let experiment = Experiment::read(&args.experiment)?;
    let index = Index::read(&args.index)?;
    let all = split::deal(&index, &experiment)?;
    let samples: Vec<&Sample> = all.iter().filter(|sample| sample.part == args.part).collect();
    let reading = bar("reading", samples.len());
    let judged = judge::by_device(&model, &index, &samples, &mut || reading.inc(1))?;
    reading.finish_and_clear();
    let whole = args.out.is_some();
    let examined = Examined { args, model: &model, index: &index, samples: &samples, judged: &judged };
    let report = examined.report(&experiment, &all, whole)?;
    if let Some(out) = &args.out {
        write(out, page(&report).as_bytes())?;
        write(&out.with_extension("json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("{} on the {} part\n\n{}", report.model.name, report.part, report.confusion.table());
    println!("accuracy {}", report.accuracy);
    for (source, confusion) in &report.by_source {
        println!("  {source}: {}", confusion.accuracy());
    }
    if let Some(out) = &args.out {
        println!("\n{}", out.display());
    }
    println!("\n{NOTICE}");
    Ok(())
}

/// A model, and the films that it was asked about.
struct Examined<'a> {
    args: &'a Args,
    model: &'a Model,
    index: &'a Index,
    samples: &'a [&'a Sample],
    judged: &'a [Judged],
}

impl Examined<'_> {
    /// The report; without `whole` only what the readings themselves tell.
    fn report(&self, experiment: &Experiment, all: &[Sample], whole: bool) -> anyhow::Result<Report> {
        let Self { args, model, index, judged, .. } = self;
        let Evaluation { all: confusion, by_source } = Evaluation::of(judged, self.samples);
        let mut licences: BTreeMap<String, u32> = BTreeMap::new();
        for film in *judged {
            let film_of = self.film(film);
            let licence = if film_of.licence.is_empty() { "not stated" } else { &film_of.licence };
            *licences.entry(licence.to_owned()).or_default() += 1;
        }
        let answers: Vec<([f32; 3], usize)> =
            judged.iter().filter_map(|film| Some((film.probabilities?, film.truth))).collect();
        let told = || format!("no film of the {} part got as far as the network", args.part.name());
        let temperature = model.manifest.calibration.temperature;
        // The calibrated logarithms are the logits over the temperature; the inverse takes that back.
        let before: Vec<_> = answers.iter().map(|(p, truth)| (retempered(*p, 1.0 / temperature), *truth)).collect();
        let calibration = Calibration { temperature, before: calibrated(&before), after: calibrated(&answers) };

        let external = if whole { self.external(&experiment.controls, all)? } else { Vec::new() };
        let not_asked = || "ask for the whole report with --out".to_owned();
        let gate = if whole { self.gate(&by_source, &external)? } else { Part::missing(not_asked()) };
        Ok(Report {
            schema: 1,
            notice: NOTICE,
            model: ModelName { name: model.manifest.name.clone(), digest: model.manifest.digest.clone() },
            index: index.digest.clone(),
            part: args.part.name(),
            limits: experiment.limits.clone(),
            answers: ANSWERS,
            accuracy: confusion.accuracy(),
            confusion,
            by_source,
            scores: scores(judged),
            milliseconds: median_milliseconds(judged),
            classes: classes(&confusion, &answers),
            calibration: if answers.is_empty() { Part::missing(told()) } else { Part::Measured(calibration) },
            coverage: if answers.is_empty() { Part::missing(told()) } else { Part::Measured(coverage(&answers)) },
            refer_below: model.manifest.calibration.refer_below,
            operating_points: model.manifest.calibration.points,
            gate,
            maps: if whole { self.maps(experiment)? } else { Part::missing(not_asked()) },
            controls: if whole { self.controls()? } else { Part::missing(not_asked()) },
            source_predictor: match whole {
                true => self.source_predictor(&external, &InputTensor::clone)?,
                false => Part::missing(not_asked()),
            },
            evened_source_predictor: match whole {
                true => self.source_predictor(&external, &augment::evened)?,
                false => Part::missing(not_asked()),
            },
            adults: if whole { self.adults(&external) } else { Part::missing(not_asked()) },
            external: match external {
                _ if !whole => Part::missing(not_asked()),
                none if none.is_empty() => Part::missing("the experiment names no [[controls]]"),
                some => Part::Measured(some.iter().map(|it| told_external(&it.name, &it.columns)).collect()),
            },
            leave_one_out: left_out(&args.leave_one_out)?,
            stress: if whole { self.stress()? } else { Part::missing(not_asked()) },
            training: match &args.run {
                Some(run) => Part::Measured(read_curve(run)?),
                None => Part::missing("name the run that made the model with --run"),
            },
            licences,
            worst_errors: if whole { Part::Measured(self.worst_errors()?) } else { Part::missing(not_asked()) },
            command: std::env::args().collect::<Vec<_>>().join(" "),
        })
    }

    fn film(&self, judged: &Judged) -> &Film {
        // Every judged film has its place among the samples.
        #[expect(clippy::indexing_slicing, reason = "the place comes from these samples")]
        &self.samples[judged.place].film
    }

    /// Accuracy by the highest probability when every film is changed.
    fn accuracy_under(&self, perturbation: Option<Perturbation>) -> anyhow::Result<Rate> {
        let right = parallel::each(self.judged, |film| -> anyhow::Result<bool> {
            let mut radiograph = decoded(&self.index.path(self.film(film)))?;
            if let Some(perturbation) = perturbation {
                radiograph = perturbation.applied(&radiograph)?;
            }
            let (class, _) = reading::judge(self.model, &radiograph)?.probabilities.top();
            Ok(Class::ALL.iter().position(|it| *it == class) == Some(film.truth))
        });
        let right: Vec<bool> = right.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Rate::new(right.iter().filter(|right| **right).count() as u32, right.len() as u32))
    }

    fn controls(&self) -> anyhow::Result<Part<Controls>> {
        let most = (0..3).map(|class| self.judged.iter().filter(|film| film.truth == class).count()).max();
        Ok(Part::Measured(Controls {
            unchanged: self.accuracy_under(None)?,
            black_centre: self.accuracy_under(Some(Perturbation::BlackCentre))?,
            border_only: self.accuracy_under(Some(Perturbation::BorderOnly))?,
            chance: most.unwrap_or(0) as f64 / self.judged.len().max(1) as f64,
        }))
    }

    fn stress(&self) -> anyhow::Result<Part<Vec<Stress>>> {
        use Perturbation::{Clip, Gamma, Noise, Rotate};
        let kinds = [
            ("Rotation", [-15.0, -7.0, 7.0, 15.0].map(Rotate).to_vec()),
            ("Exposure", [Gamma(0.6), Gamma(1.6), Clip(0.8), Clip(0.6)].to_vec()),
            ("Noise", [0.02, 0.05, 0.1].map(Noise).to_vec()),
        ];
        let bar = bar("stress", kinds.iter().map(|(_, changes)| changes.len()).sum());
        let stress = kinds
            .into_iter()
            .map(|(name, changes)| {
                let measured = |change: Perturbation| {
                    bar.inc(1);
                    Ok((change.name(), self.accuracy_under(Some(change))?))
                };
                Ok(Stress { name, points: changes.into_iter().map(measured).collect::<anyhow::Result<_>>()? })
            })
            .collect::<anyhow::Result<_>>()?;
        bar.finish_and_clear();
        Ok(Part::Measured(stress))
    }

    /// Films of the controls and what was answered.
    fn external(&self, controls: &[Control], all: &[Sample]) -> anyhow::Result<Vec<Answered<'_>>> {
        controls
            .iter()
            .map(|control| {
                let films = split::control(self.index, control, all);
                let bar = bar("films from elsewhere", films.len());
                let columns = evaluate::columns(self.model, self.index, &films, &|| bar.inc(1));
                bar.finish_and_clear();
                let columns = columns.context("a film of the index cannot be read")?;
                Ok(Answered { name: control.name.clone(), films, columns })
            })
            .collect()
    }

    /// Adults of the part, class by class, and of each control.
    fn adults(&self, external: &[Answered<'_>]) -> Part<Vec<External>> {
        let mut adults = Vec::new();
        for (class, name) in Class::ALL.iter().enumerate() {
            let films = self.judged.iter().filter(|film| film.truth == class && self.film(film).is_adult());
            let columns: Vec<usize> = films.map(|film| film.column).collect();
            let name = format!("{} of the {} part", name.name(), self.args.part.name());
            adults.push(told_external(&name, &columns));
        }
        for it in external {
            let films = it.films.iter().zip(&it.columns).filter(|(film, _)| film.is_adult());
            adults.push(told_external(&it.name, &films.map(|(_, column)| *column).collect::<Vec<_>>()));
        }
        if adults.iter().all(|it| it.called_covid19.all == 0) {
            return Part::missing("the index tells no age of 18 or more of these films (column age)");
        }
        // A class without adults is shown with its zeros: that is the finding.
        Part::Measured(adults)
    }

    /// How well features tell sources apart, of films that went through `change`.
    fn source_predictor(
        &self,
        external: &[Answered<'_>],
        change: &(dyn Fn(&InputTensor) -> InputTensor + Sync),
    ) -> anyhow::Result<Part<source::SourcePrediction>> {
        let own = self.judged.iter().map(|film| self.film(film));
        let mut by_source: BTreeMap<&str, Vec<&Film>> = BTreeMap::new();
        for film in own.chain(external.iter().flat_map(|it| it.films.iter().copied())) {
            let films = by_source.entry(&film.source).or_default();
            if films.len() < PREDICTED {
                films.push(film);
            }
        }
        let films: Vec<&Film> = by_source.into_values().filter(|films| films.len() >= FEWEST).flatten().collect();
        let tensors = parallel::each(&films, |film| -> anyhow::Result<_> {
            Ok(change(&preprocess(&decoded(&self.index.path(film))?, &self.model.manifest.input)?))
        });
        let tensors = tensors.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let network = self.network()?;
        let values = match onnx::features(&network, &tensors) {
            Ok(values) => values,
            Err(error) => return Ok(Part::missing(error.to_string())),
        };
        let features = films.iter().zip(values).map(|(film, values)| Features {
            group: film.group_id.clone(),
            source: film.source.clone(),
            values,
        });
        Ok(match source::predict(&features.collect::<Vec<_>>()) {
            Some(found) => Part::Measured(found),
            None => Part::missing(format!("fewer than two sources have {FEWEST} films")),
        })
    }

    fn gate(&self, by_source: &BTreeMap<String, Confusion>, external: &[Answered<'_>]) -> anyhow::Result<Part<Gate>> {
        let Some(bounds) = self.model.manifest.gate else {
            return Ok(Part::missing("the model has no gate of its own; `ship` fits one"));
        };
        let part = by_source.iter().map(|(source, confusion)| {
            (format!("{source} of the {} part", self.args.part.name()), confusion.refused())
        });
        let controls = external.iter().map(|it| {
            let [.., refused, _fault] = evaluate::counted(&it.columns);
            (it.name.clone(), Rate::new(refused, it.columns.len() as u32))
        });
        let films: Vec<(String, Rate)> = part.chain(controls).collect();

        let mut found: BTreeMap<String, Vec<Outlying>> = BTreeMap::new();
        let some: Vec<&Judged> = self.judged.iter().step_by((self.judged.len() / MADE).max(1)).collect();
        for kind in Outlier::ALL {
            let made = parallel::each(&some, |film| -> anyhow::Result<Outlying> {
                let film_of = decoded(&self.index.path(self.film(film)))?;
                self.outlying(&kind.made(&film_of, film.place as u64)?)
            });
            found.insert(format!("made: {}", kind.name()), made.into_iter().collect::<anyhow::Result<_>>()?);
        }
        if let Some(folder) = &self.args.outliers {
            for (kind, films) in outliers_in(folder)? {
                let read = parallel::each(&films, |path| self.outlying(&decoded(path)?));
                found.insert(kind, read.into_iter().collect::<anyhow::Result<_>>()?);
            }
        }
        let distances: Vec<f32> = self.judged.iter().filter_map(|film| film.distance).collect();
        let outlying: Vec<f32> = found.values().flatten().filter_map(|it| it.distance).collect();
        let beyond = |distances: &[f32], bound: f32| {
            distances.iter().filter(|distance| **distance > bound).count() as f64 / distances.len().max(1) as f64
        };
        let mut bounds_tried = distances.clone();
        bounds_tried.push(bounds.distance_at_most);
        bounds_tried.sort_by(f32::total_cmp);
        let curve = bounds_tried.into_iter().map(|bound| GatePoint {
            distance_at_most: bound,
            films: beyond(&distances, bound),
            outliers: beyond(&outlying, bound),
        });
        let outliers = found.iter().map(|(kind, all)| {
            (kind.clone(), Rate::new(all.iter().filter(|it| it.refused).count() as u32, all.len() as u32))
        });
        let (distance_at_most, outliers) = (bounds.distance_at_most, outliers.collect());
        Ok(Part::Measured(Gate { distance_at_most, films, outliers, curve: curve.collect() }))
    }

    /// What the gate says of a radiograph, before and after inference.
    fn outlying(&self, radiograph: &Radiograph) -> anyhow::Result<Outlying> {
        let distance = reading::judge(self.model, radiograph)?.distance;
        let passes = gate::judge(radiograph)
            .and_then(|()| gate::judge_distance(distance, self.model.manifest.gate.as_ref()))
            .is_ok();
        Ok(Outlying { refused: !passes, distance })
    }

    fn maps(&self, experiment: &Experiment) -> anyhow::Result<Part<Saliency>> {
        let some: Vec<&Judged> = self.judged.iter().step_by((self.judged.len() / MAPPED).max(1)).collect();
        let inputs = parallel::each(&some, |film| -> anyhow::Result<_> {
            Ok(preprocess(&decoded(&self.index.path(self.film(film)))?, &self.model.manifest.input)?)
        });
        let inputs = inputs.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let network = self.network()?;
        let found = saliency::examine(&network, &self.model.manifest.input, &inputs, experiment.architecture.blocks())?;
        Ok(found.map_or_else(|| Part::missing("the network tells no class map; `ship` writes one"), Part::Measured))
    }

    fn network(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.args.model.with_extension("onnx");
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn worst_errors(&self) -> anyhow::Result<Vec<WorstError>> {
        let sure = |film: &&Judged| film.probabilities.map_or(0.0, |all| all.into_iter().fold(0.0, f32::max));
        let mut wrong: Vec<&Judged> = self.judged.iter().filter(|film| film.answer != Some(film.truth)).collect();
        wrong.sort_by(|a, b| sure(b).total_cmp(&sure(a)));
        wrong
            .into_iter()
            .take(WORST)
            .map(|film| {
                let of = self.film(film);
                let class = Class::ALL.get(film.truth).copied().unwrap_or(Class::Normal);
                Ok(WorstError {
                    file: of.file.display().to_string(),
                    truth: class.name(),
                    answer: ANSWERS.get(film.column).copied().unwrap_or_default(),
                    probability: sure(&film),
                    thumbnail: thumbnail(&self.index.path(of))?,
                })
            })
            .collect()
    }
}

/// What the gate says of an outlier.
struct Outlying {
    refused: bool,
    distance: Option<f32>,
}

/// The files below each subfolder, but for an index.
fn outliers_in(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(2).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        if let Some(kind) = below.iter().next().filter(|_| entry.file_type().is_file()) {
            kinds.entry(kind.to_string_lossy().into_owned()).or_default().push(entry.into_path());
        }
    }
    Ok(kinds)
}

/// Films of a control and the column of each answer.
struct Answered<'a> {
    name: String,
    films: Vec<&'a Film>,
    columns: Vec<usize>,
}

fn told_external(name: &str, columns: &[usize]) -> External {
    let answers = evaluate::counted(columns);
    External { name: name.into(), answers, called_covid19: Rate::new(answers[2], columns.len() as u32) }
}

fn classes(confusion: &Confusion, answers: &[([f32; 3], usize)]) -> Vec<ClassFigures> {
    let figures = |(class, name): (usize, &Class)| {
        let probability = |p: &[f32; 3]| p.get(class).copied().unwrap_or(0.0);
        let films: Vec<(f32, bool)> = answers.iter().map(|(p, truth)| (probability(p), *truth == class)).collect();
        ClassFigures {
            class: name.name(),
            sensitivity: confusion.sensitivity(class),
            specificity: confusion.specificity(class),
            curves: curves(&films).map_or_else(|| Part::missing("all films are of one side"), Part::Measured),
        }
    };
    Class::ALL.iter().enumerate().map(figures).collect()
}

fn left_out(files: &[PathBuf]) -> anyhow::Result<Part<Vec<JobResult>>> {
    if files.is_empty() {
        return Ok(Part::missing(
            "train without each source with `experiment plan --leave-one-source-out` and give the jobs' result.json with \
             --leave-one-out",
        ));
    }
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result of a job", path.display()))
    };
    Ok(Part::Measured(files.iter().map(read).collect::<anyhow::Result<_>>()?))
}

fn decoded(path: &Path) -> anyhow::Result<Radiograph> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode(&bytes, &Limits::default()).with_context(|| format!("cannot decode {}", path.display()))
}

/// A small JPEG of a film, through the device's preprocessing: exposed as the network sees it.
fn thumbnail(path: &Path) -> anyhow::Result<Vec<u8>> {
    let radiograph = decoded(path)?;
    let scale = f64::from(THUMBNAIL) / f64::from(radiograph.width().max(radiograph.height()));
    let side = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    let (width, height) = (side(radiograph.width()), side(radiograph.height()));
    let geometry = InputGeometry {
        width,
        height,
        fit: Fit::Stretch,
        exposure_low: 0.01,
        exposure_high: 0.99,
        mean: 0.0,
        std: 1.0,
        margin: 0.0,
    };
    let samples: Vec<u8> = preprocess(&radiograph, &geometry)?.plane.iter().map(|value| value.round() as u8).collect();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 75).encode(&samples, width, height, ExtendedColorType::L8)?;
    Ok(jpeg)
}
