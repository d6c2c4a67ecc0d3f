;; Does one thing with a value of 1 MiB so often. Input: which thing, how often, the value's key.
;; 0 nothing; 1 reads 64 bytes; 2 locks and unlocks it on its host; 3 maps it; 4 loads all of it
;; through a mapping; 5 loads as much of its own memory; 6 and 7 map it, load or store one word of
;; each page, and unmap it; 8 maps and unmaps it; 9 writes 4 KiB at its start and pushes them;
;; 10 opens and closes its newest version, of a value of 4 KiB; 11 does the same and reads all of
;; it, which is not here.
(module
  (import "faaslet_v1" "input_read" (func $in (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "state_open" (func $open (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "state_resize" (func $resize (param i32 i64) (result i32)))
  (import "faaslet_v1" "state_stat" (func $stat (param i32 i32) (result i32)))
  (import "faaslet_v1" "state_read" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_lock" (func $lock (param i32 i32 i64) (result i32)))
  (import "faaslet_v1" "state_unlock" (func $unlock (param i32 i32) (result i32)))
  (import "faaslet_v1" "state_map" (func $map (param i32 i64 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "state_unmap" (func $unmap (param i32) (result i32)))
  (import "faaslet_v1" "state_write" (func $write (param i32 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_push" (func $push (param i32 i64 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_open_version" (func $open_version (param i32 i32) (result i32)))
  (import "faaslet_v1" "state_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 34)
  (data (i32.const 128) "\00\00\00\04\00\00\00\00\04\00")
  (global $sum (mut i64) (i64.const 0))
  (func $check (param i32) (if (i32.lt_s (local.get 0) (i32.const 0)) (then unreachable)))
  (func $mapped (param $value i32) (result i32)
    (call $check (call $map (local.get $value) (i64.const 0) (i32.const 0x100000) (i32.const 1)
      (i32.const 8)))
    (i32.load (i32.const 8)))
  (func $loads (param $at i32) (local $end i32) (local $sum i64)
    (local.set $end (i32.add (local.get $at) (i32.const 0x100000)))
    (loop $more
      (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
      (br_if $more (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
    (global.set $sum (local.get $sum)))
  (func $touch (param $at i32) (param $store i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.const 0x100000)))
    (loop $more
      (if (local.get $store)
        (then (i64.store (local.get $at) (i64.const 1)))
        (else (global.set $sum (i64.load (local.get $at)))))
      (br_if $more (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (local.get $end)))))
  (func $change (local $at i32)
    (local.set $at (i32.const 4096))
    (loop $more
      (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (i64.const 1)))
      (br_if $more (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 8192)))))
  (func $version (param $value i32) (param $read i32)
    (local.set $value (call $open_version (local.get $value) (i32.const 1024)))
    (call $check (local.get $value))
    (if (local.get $read) (then (call $check
      (call $read (local.get $value) (i64.const 0) (i32.const 4096) (i32.const 4096)))))
    (call $check (call $close (local.get $value))))
  (func $write_and_push (param $value i32)
    (call $change)
    (call $check (call $write (local.get $value) (i64.const 0) (i32.const 4096) (i32.const 4096)))
    (call $check (call $push
      (local.get $value) (i64.const 0) (i64.const 4096) (i32.const 0) (i32.const 0))))
  (func $once (param $what i32) (param $value i32) (param $at i32)
    (block $11 (block $10 (block $9 (block $8
    (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 (local.get $what)))
      (return))
      (return (call $check
        (call $read (local.get $value) (i64.const 4096) (i32.const 256) (i32.const 64)))))
      (call $check (call $lock (local.get $value) (i32.const 1) (i64.const -1)))
      (return (call $check (call $unlock (local.get $value) (i32.const 1)))))
      (return (drop (call $mapped (local.get $value)))))
      (return (call $loads (local.get $at))))
      (return (call $loads (i32.const 0x100000))))
      (local.set $at (call $mapped (local.get $value)))
      (call $touch (local.get $at) (i32.const 0))
      (return (call $check (call $unmap (local.get $at)))))
      (local.set $at (call $mapped (local.get $value)))
      (call $touch (local.get $at) (i32.const 1))
      (return (call $check (call $unmap (local.get $at)))))
      (return (call $check (call $unmap (call $mapped (local.get $value))))))
      (return (call $write_and_push (local.get $value))))
      (return (call $version (local.get $value) (i32.const 0))))
    (call $version (local.get $value) (i32.const 1)))
  (func (export "faaslet_main") (result i32)
    (local $what i32) (local $left i32) (local $value i32) (local $at i32)
    (drop (call $in (i32.const 0) (i32.const 0) (i32.const 8)))
    (local.set $what (i32.load (i32.const 0)))
    (local.set $left (i32.load (i32.const 4)))
    (call $check (local.tee $value (call $open
      (i32.const 64) (call $in (i32.const 8) (i32.const 64) (i32.const 56)) (i32.const 128))))
    (call $check (call $stat (local.get $value) (i32.const 512)))
    (if (i64.eqz (i64.load (i32.const 512))) (then
      (if (i32.lt_u (local.get $what) (i32.const 10))
        (then (call $check (call $resize (local.get $value) (i64.const 0x100000))))
        (else (call $write_and_push (local.get $value))))))
    (if (i32.eq (local.get $what) (i32.const 4)) (then
      (local.set $at (call $mapped (local.get $value)))
      (call $loads (local.get $at))))
    (if (i32.eq (local.get $what) (i32.const 5)) (then
      (memory.fill (i32.const 0x100000) (i32.const 1) (i32.const 0x100000))
      (call $loads (i32.const 0x100000))))
    (block $done (loop $more
      (br_if $done (i32.eqz (local.get $left)))
      (call $once (local.get $what) (local.get $value) (local.get $at))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $more)))
    (i32.const 0)))
