;; Its initialisation takes all the memory it can get, and traps when it gets no more.
(module $init_eat
  (memory (export "memory") 1)
  (func $init (export "faaslet_init")
    (local $page i32)
    (loop $next
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
      (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 255) (i32.const 65536))
      (br $next)))
  (func (export "faaslet_main") (result i32) i32.const 0))
