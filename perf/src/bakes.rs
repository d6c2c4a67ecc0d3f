//! `bake`: the time from a module to an image, by phase.

use anyhow::{Result, anyhow};
use faaslet_vmm::builder::{Recipe, bake};

use crate::book::Book;
use crate::guests;

/// Bakes of each module; the middle one of each phase counts.
const BAKES: usize = 3;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let engine = faaslet_vmm::engine::engine().map_err(|error| anyhow!("{error:#}"))?;
    for (name, module) in
        [("noop", guests::text("noop")?), ("recognise", guests::compiled("recognise")?)]
    {
        let mut bakes = Vec::new();
        for _ in 0..BAKES {
            bakes.push(bake(&engine, &module, &Recipe::default(), true, |_| {})?.phases);
        }
        let mut whole = 0.0;
        for (number, (phase, _)) in bakes[0].iter().enumerate() {
            let mut times: Vec<_> = bakes.iter().map(|bake| bake[number].1).collect();
            times.sort_unstable();
            let ms = times[BAKES / 2].as_secs_f64() * 1e3;
            book.put(&format!("bake.{name}.{}", phase.name()), ms, "ms");
            whole += ms;
        }
        book.put(&format!("bake.{name}"), whole, "ms");
    }
    Ok(())
}
