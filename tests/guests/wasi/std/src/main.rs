//! An ordinary program: files, folders, time and random hash seeds through Rust's standard
//! library, which sees WASI as most programs do.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime};

fn main() -> io::Result<()> {
    println!("args {:?}", std::env::args().collect::<Vec<_>>());
    println!("env {:?}", std::env::vars().collect::<Vec<_>>());
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    println!("input {} bytes, {} lines", input.len(), input.lines().count());
    files()?;
    folders()?;
    time();
    errors();
    eprintln!("to the error stream");
    Ok(())
}

fn files() -> io::Result<()> {
    fs::write("/data/std.txt", "one\ntwo\nthree\n")?;
    let mut file = OpenOptions::new().append(true).open("/data/std.txt")?;
    writeln!(file, "four")?;
    let mut file = OpenOptions::new().read(true).write(true).open("/data/std.txt")?;
    file.seek(SeekFrom::Start(4))?;
    file.write_all(b"TWO")?;
    file.sync_all()?;
    file.rewind()?;
    let lines = BufReader::new(&file).lines().collect::<Result<Vec<_>, _>>()?;
    println!("lines {lines:?}");
    file.set_len(7)?;
    println!("cut {:?} {}", fs::read_to_string("/data/std.txt")?, file.metadata()?.len());
    fs::copy("/data/std.txt", "/other/copy.txt")?;
    fs::hard_link("/data/std.txt", "/data/std-hard.txt")?;
    fs::rename("/other/copy.txt", "/other/moved.txt")?;
    println!("moved {:?}", fs::read_to_string("/other/moved.txt")?);
    let mut large = File::create("/data/std-large.bin")?;
    for index in 0..2000_u32 {
        large.write_all(&index.to_le_bytes().repeat(100))?;
    }
    println!("large {}", large.metadata()?.len());
    Ok(())
}

fn folders() -> io::Result<()> {
    fs::create_dir_all("/data/a/b/c")?;
    for index in 0..100 {
        fs::write(format!("/data/a/b/{index}.txt"), index.to_string())?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir("/data/a/b")? {
        let entry = entry?;
        names.push((entry.file_name().into_string().unwrap(), entry.file_type()?.is_dir()));
    }
    names.sort();
    println!("names {names:?}");
    for entry in fs::read_dir("/data/a/b")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('9') {
            fs::remove_file(entry.path())?;
        }
    }
    println!("left {}", fs::read_dir("/data/a/b")?.count());
    fs::remove_dir_all("/data/a/b")?;
    println!("left {}", fs::read_dir("/data/a")?.count());
    Ok(())
}

fn time() {
    let (wall, start) = (SystemTime::now(), Instant::now());
    std::thread::sleep(Duration::from_millis(3));
    println!("slept {} {}", start.elapsed() >= Duration::from_millis(3), wall.elapsed().is_ok());
    let map: HashMap<u32, u32> = (0..100).map(|key| (key, key * key)).collect();
    println!("map {}", map.values().sum::<u32>());
}

fn errors() {
    println!("missing {:?}", File::open("/data/missing").map(drop).map_err(|it| it.kind()));
    println!("outside {:?}", File::open("/data/../outside.txt").map(drop).map_err(|it| it.kind()));
    println!("no folder {:?}", File::open("/etc/passwd").map(drop).map_err(|it| it.kind()));
    println!("link out {:?}", File::open("/data/out").map(drop).map_err(|it| it.kind()));
    println!("not empty {:?}", fs::remove_dir("/data/dir").map_err(|it| it.kind()));
    println!("there {:?}", fs::create_dir("/data/dir").map_err(|it| it.kind()));
}
