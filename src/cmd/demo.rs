//! `chestlight demo`: the real daemon on synthetic films, for a first look on a fresh machine.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, anyhow};
use chestlight::choose::Deaths;
use chestlight::config::Config;
use chestlight::daemon::Daemon;
use chestlight::journal::Journal;
use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use chestlight::show::{Indicator, NOTICE, Panel, Status, Terminal};
use image::{ExtendedColorType, ImageFormat};

use super::{Failure, Outcome, choose_model, log};

/// Watch the unit read synthetic films, from the inbox to the journal
#[derive(clap::Args)]
pub struct Arguments {
    /// Synthetic films to read; one damaged film is always among them
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u16).range(1..=1000))]
    films: u16,
}

/// Shows on a terminal, and tells whoever waits when a film is done.
struct Witnessed {
    terminal: Terminal<anstream::Stdout>,
    recorded: Sender<()>,
}

impl Indicator for Witnessed {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        self.terminal.show(status)?;
        if matches!(status, Status::Recorded(_) | Status::AlreadyRecorded(_)) {
            // Nobody waits any more when the demo ends early.
            let _ = self.recorded.send(());
        }
        Ok(())
    }
}

/// Runs the daemon on phantoms and prints the journal that it leaves.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let folder = tempfile::Builder::new().prefix("chestlight-demo-").tempdir().context("no temporary folder")?;
    let inbox = folder.path().join("inbox");
    fs::create_dir(&inbox).context("no inbox")?;
    let config =
        Config::parse("inbox = 'inbox'\nstate = 'state'\nmin_free_mib = 16\nrescan_seconds = 1\n", folder.path())
            .map_err(|problems| anyhow!("the demo's configuration: {problems:?}"))?;
    let journal = config.journal();

    let (sender, recorded) = channel();
    let indicator = Witnessed { terminal: Terminal::new(anstream::stdout(), true), recorded: sender };
    let chosen = choose_model(&config, Deaths::NotCounted)?;
    let panel = Panel::default().with("terminal", indicator);
    let (daemon, handle) = Daemon::open(config, chosen, panel).context("the demo's unit cannot begin")?;
    println!("The unit runs on {}. Films arrive as a portable X-ray unit would send them.\n", inbox.display());
    let unit = thread::Builder::new().name("daemon".into()).spawn(|| daemon.run()).context("no thread")?;

    let opacities = [("clear", Opacity::None), ("focal", Opacity::Focal), ("diffuse", Opacity::Diffuse)];
    for (number, (words, opacity)) in (1..=arguments.films).zip(opacities.into_iter().cycle()) {
        let film = png(&Phantom::new(u64::from(number), opacity))?;
        arrive(&inbox, &format!("phantom-{number}-{words}.png"), &film)?;
        recorded.recv().context("the unit ended before it had read the film")?;
    }
    let damaged = png(&Phantom::new(0, Opacity::None))?;
    arrive(&inbox, "damaged.png", damaged.get(..damaged.len() / 2).unwrap_or_default())?;
    recorded.recv().context("the unit ended before it had refused the damaged film")?;
    handle.stop();
    unit.join().map_err(|_| anyhow!("the unit panicked"))?.context("the unit had to stop")?;

    println!("\nThe journal that it leaves:\n");
    let journal = Journal::open_read_only(&journal).context("the demo's journal")?;
    log::list(&journal, false, None)?;
    log::verify(&journal)?;
    let program = env::args().next().unwrap_or_else(|| "chestlight".into());
    print!(
        "\nPhantoms show the road, not the accuracy: the model has never seen one, and what it says of them means\n\
         nothing. On a folder of real films:\n\n    {program} classify FOLDER\n\n\
         and as a unit that watches a folder, after the folders in a copy of chestlight.example.toml are yours:\n\n    \
         {program} run --config FILE\n\n{NOTICE}\n"
    );
    Ok(Outcome::Well)
}

fn png(phantom: &Phantom) -> anyhow::Result<Vec<u8>> {
    let radiograph = phantom.render()?;
    let Grey::U8(samples) = radiograph.pixels() else { return Err(anyhow!("phantoms have 8 bits")) };
    let mut film = io::Cursor::new(Vec::new());
    let (width, height) = (radiograph.width(), radiograph.height());
    image::write_buffer_with_format(&mut film, samples, width, height, ExtendedColorType::L8, ImageFormat::Png)?;
    Ok(film.into_inner())
}

/// Puts a film into the inbox as a careful sender does: under another name first.
fn arrive(inbox: &Path, name: &str, film: &[u8]) -> anyhow::Result<()> {
    let unfinished = inbox.join(format!(".{name}"));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(film)?;
    Ok(fs::rename(unfinished, inbox.join(name))?)
}
