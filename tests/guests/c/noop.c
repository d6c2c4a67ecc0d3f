// The smallest C guest: a function that does nothing and succeeds.
__attribute__((export_name("faaslet_main"))) int faaslet_main(void) { return 0; }
