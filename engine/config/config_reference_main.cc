// Prints docs/config.md.
#include <iostream>

#include "engine/config/config.h"

int main() { std::cout << ingot::config_reference(); }
