//! Packs timm's registry (`data/timm`): the rows of each of timm's modules as a deflated block, and an index of the blocks. The
//! whole is a sixth as large then, and who asks for one architecture inflates one module.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Holds what an index line and a block are made of.
#[derive(Default)]
struct Module<'a> {
    name: &'a str,
    architectures: Vec<&'a str>,
    /// Gives the lines of classes.tsv, architectures.tsv and tags.tsv.
    tables: [String; 3],
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [classes, architectures, tags] =
        [read("classes.tsv")?, read("architectures.tsv")?, read("tags.tsv")?];
    let mut modules: Vec<Module<'_>> = Vec::new();
    // The column that begins with the module.
    for (table, (text, column)) in [(&classes, 0), (&architectures, 1), (&tags, 1)].into_iter().enumerate() {
        for line in text.lines() {
            let class = line.split('\t').nth(column).unwrap_or_default();
            let name = class.split('/').next().unwrap_or_default();
            let known = modules.iter().position(|module| module.name == name);
            let place = known.unwrap_or_else(|| {
                modules.push(Module { name, ..Module::default() });
                modules.len() - 1
            });
            let module = modules.get_mut(place).ok_or("no module")?;
            if table == 1 {
                module.architectures.extend(line.split('\t').next());
            }
            if let Some(lines) = module.tables.get_mut(table) {
                writeln!(lines, "{line}")?;
            }
        }
    }
    let (mut index, mut blocks) = (String::new(), Vec::new());
    for Module { name, architectures, tables } in modules {
        let start = blocks.len();
        let mut encoder = DeflateEncoder::new(&mut blocks, Compression::best());
        // Tables end with an empty line each.
        encoder.write_all(tables.map(|table| table + "\n").concat().as_bytes())?;
        encoder.finish()?;
        writeln!(index, "{name}\t{start}\t{}\t{}", blocks.len(), architectures.join(" "))?;
    }
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("timm.index"), index)?;
    std::fs::write(Path::new(&out).join("timm.blocks"), blocks)?;
    Ok(())
}

fn read(table: &str) -> Result<String, std::io::Error> {
    let path = Path::new("data/timm").join(table);
    writeln!(std::io::stdout(), "cargo::rerun-if-changed={}", path.display())?;
    std::fs::read_to_string(path)
}
