//! State on the stand-in: what the types promise where one host has every value.

use faaslet::Error;
use faaslet::state::{
    Bytes, Cell, Counter, Lock, Log, Map, Matrix, Rule, SparseMatrix, StateError, Vector, delete,
    keys,
};
use faaslet::test::Call;

/// Runs `test` as a call.
fn call(test: fn(()) -> Result<(), Error>) {
    thread_local! {
        static TEST: std::cell::Cell<Option<fn(()) -> Result<(), Error>>> =
            const { std::cell::Cell::new(None) };
    }
    #[faaslet::main]
    fn run() -> Result<(), Error> {
        TEST.get().map_or(Err(Error::new("no test")), |test| test(()))
    }
    TEST.set(Some(test));
    assert_eq!(Call::new().run(faaslet_main).returned::<()>(), Ok(()));
}

#[test]
fn a_vector_is_read_written_mapped_and_merged() {
    call(|()| {
        let vector = Vector::<f32>::named("v").rule(Rule::Sum).len(4).open()?;
        vector.write(1, &[1.0, 2.0])?;
        vector.merge(2, &[0.5, 0.5])?;
        let mapped = vector.map()?;
        assert_eq!(mapped.to_vec(), [0.0, 1.0, 2.5, 0.5]);
        mapped.set(0, 9.0);
        assert_eq!(vector.read(0, 9)?, [9.0, 1.0, 2.5, 0.5]);
        assert!(vector.resize(2).is_ok() && vector.len()? == 2);
        Ok(())
    });
}

#[test]
fn a_snapshot_stays_as_it_was() {
    call(|()| {
        let vector = Vector::<u32>::named("v").len(2).open()?;
        vector.write(0, &[1, 2])?;
        let version = vector.push()?;
        vector.write(0, &[3])?;
        assert_eq!(vector.at(Some(version))?.read(0, 2)?, [1, 2]);
        assert!(vector.push_if(version)? > version);
        let conflict = vector.push_if(version).map_err(|error| error.status());
        assert_eq!(conflict, Err(faaslet::Status::Conflict));
        assert!(vector.versions()?.contains(&version));
        Ok(())
    });
}

#[test]
fn a_global_write_lock_takes_back_what_was_not_pushed() {
    call(|()| {
        let vector = Vector::<u8>::named("v").len(1).open()?;
        let guard = vector.lock(Lock::GlobalWrite)?;
        assert!(!guard.was_abandoned());
        vector.write(0, &[7])?;
        drop(guard);
        assert_eq!(vector.read(0, 1)?, [0]);
        let guard = vector.lock(Lock::GlobalWrite)?;
        vector.write(0, &[7])?;
        guard.push()?;
        assert_eq!(vector.read(0, 1)?, [7]);
        Ok(())
    });
}

#[test]
fn containers_hold_what_is_put_into_them() {
    call(|()| {
        let counter = Counter::open("counter")?;
        counter.add(40)?;
        counter.add(2)?;
        counter.push()?;
        assert_eq!(counter.pull()?, 42);

        let log = Log::open("log")?;
        log.append(b"one")?;
        let second = log.append(b"two")?;
        assert_eq!(log.read(second)?.0, [b"two"]);
        assert_eq!(log.read(0)?.0.len(), 2);

        let cell = Cell::<Vec<String>>::open("cell")?;
        assert_eq!(cell.get()?, None);
        cell.set(&vec!["long enough to be cut".into()])?;
        cell.modify(|_| vec!["b".into()])?;
        assert_eq!(cell.get()?, Some(vec!["b".to_owned()]));
        assert_eq!(cell.take()?, Some(vec!["b".to_owned()]));
        assert_eq!(cell.get()?, None);

        let map = Map::<u32>::open("map");
        map.insert("a", &1)?;
        map.insert("b", &2)?;
        assert_eq!((map.get("a")?, map.names()?), (Some(1), vec!["a".into(), "b".into()]));
        assert!(map.remove("a")? && !map.remove("a")?);
        assert_eq!((map.get("a")?, map.names()?), (None, vec!["b".into()]), "asking makes nothing");

        let bytes = Bytes::open("bytes")?;
        bytes.set(b"longer")?;
        bytes.set(b"short")?;
        assert_eq!(bytes.get()?, b"short");
        assert_eq!(keys("m")?, ["map/b"]);
        delete("bytes")?;
        assert!(delete("bytes").is_err());
        Ok(())
    });
}

#[test]
fn matrices_have_rows() {
    call(|()| {
        let matrix = Matrix::<f64>::open("m", 2, 3, Rule::Replace)?;
        matrix.set_row(1, &[1.0, 2.0, 3.0])?;
        assert_eq!(matrix.map_rows(1, 1)?.to_vec(), [1.0, 2.0, 3.0]);
        assert!(matrix.row(2).is_err() && matrix.set_row(0, &[1.0]).is_err());
        assert!(Matrix::<f64>::open("m", 3, 3, Rule::Replace).is_err());

        let rows = [vec![(0, 1.0_f32), (5, 2.0)], vec![], vec![(3, 3.0)]];
        let sparse = SparseMatrix::create("s", rows)?;
        let mapped = sparse.rows(1, 2)?;
        assert_eq!(mapped.row(0).count(), 0);
        assert_eq!(mapped.row(1).collect::<Vec<_>>(), [(3, 3.0)]);
        assert!(sparse.rows(2, 2).is_err());
        Ok(())
    });
}

#[test]
fn an_error_names_its_key() {
    call(|()| {
        let error: StateError = Vector::<u8>::existing("nothing").map(drop).unwrap_err();
        assert_eq!(error.status(), faaslet::Status::NotFound);
        assert!(error.to_string().contains("\"nothing\""), "{error}");
        let floats = Vector::<f32>::named("bits").rule(Rule::Xor).open().map(drop);
        assert_eq!(floats.map_err(|error| error.status()), Err(faaslet::Status::Invalid));
        Ok(())
    });
}
