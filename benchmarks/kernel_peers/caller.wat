;; The caller of a compiled model: what a component host does for one call of wasi:nn's compute,
;; without a host. Inputs are copied in and outputs copied out, in every call.
;;
;; $given is the address of six numbers: the input's name and its length, dims, rank, wasi-nn
;; type, data and its length, in memory of the provider.
(module
  (import "provider" "memory" (memory 1))
  (import "provider" "cabi_realloc"
    (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "provider" "tensor"
    (func $tensor (param i32 i32 i32 i32 i32) (result i32)))
  (import "provider" "compute" (func $compute (param i32 i32 i32) (result i32)))
  (import "provider" "data" (func $data (param i32) (result i32)))
  (import "provider" "drop" (func $drop (param i32)))

  ;; A copy of $bytes at $from, in memory that the provider owns from then on.
  (func $put (param $from i32) (param $bytes i32) (result i32)
    (local $at i32)
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $bytes)))
    (memory.copy (local.get $at) (local.get $from) (local.get $bytes))
    (local.get $at))

  ;; The list of one named tensor that compute takes.
  (func $inputs (export "inputs") (param $given i32) (result i32)
    (local $list i32)
    (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 12)))
    (i32.store (local.get $list)
      (call $put (i32.load (local.get $given)) (i32.load offset=4 (local.get $given))))
    (i32.store offset=4 (local.get $list) (i32.load offset=4 (local.get $given)))
    (i32.store offset=8 (local.get $list)
      (call $tensor
        (call $put (i32.load offset=8 (local.get $given))
          (i32.shl (i32.load offset=12 (local.get $given)) (i32.const 2)))
        (i32.load offset=12 (local.get $given))
        (i32.load offset=16 (local.get $given))
        (call $put (i32.load offset=20 (local.get $given))
          (i32.load offset=24 (local.get $given)))
        (i32.load offset=24 (local.get $given))))
    (local.get $list))

  ;; Copies the data of $count tensors, listed at $list, to $to and drops them.
  (func $outputs (param $list i32) (param $count i32) (param $to i32)
    (local $found i32)
    (loop $next
      (if (local.get $count) (then
        (local.set $found (call $data (i32.load offset=8 (local.get $list))))
        (memory.copy (local.get $to) (i32.load (local.get $found))
          (i32.load offset=4 (local.get $found)))
        (local.set $to (i32.add (local.get $to) (i32.load offset=4 (local.get $found))))
        (call $drop (i32.load offset=8 (local.get $list)))
        (local.set $list (i32.add (local.get $list) (i32.const 12)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))))

  ;; $times calls; the outputs' data ends up at $to, one after the other.
  (func (export "call") (param $context i32) (param $given i32) (param $to i32) (param $times i32)
    (local $answer i32)
    (loop $again
      (local.set $answer
        (call $compute (local.get $context) (call $inputs (local.get $given)) (i32.const 1)))
      (if (i32.load8_u (local.get $answer)) (then unreachable))
      (call $outputs
        (i32.load offset=4 (local.get $answer)) (i32.load offset=8 (local.get $answer))
        (local.get $to))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $again (local.get $times)))))
