// CLI11, whole: its App.hpp alone declares classes whose virtual functions two other headers
// define.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
