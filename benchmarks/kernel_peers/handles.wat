;; The resources of a component host, where a handle is the resource's address itself. What
;; drops a resource is in the table, since the provider that has it imports this.
(module
  (table (export "drops") 4 funcref)
  (type $drop (func (param i32)))
  (func (export "same") (param i32) (result i32) (local.get 0))
  (func (export "drop-tensor") (param i32)
    (call_indirect (type $drop) (local.get 0) (i32.const 0))))
