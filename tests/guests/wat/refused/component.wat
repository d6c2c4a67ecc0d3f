;; A component, not a module.
(component)
