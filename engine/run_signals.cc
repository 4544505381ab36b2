#include "engine/run_signals.h"

#include <csignal>
#include <initializer_list>

namespace ingot {
namespace {

volatile std::sig_atomic_t stop_signal = 0;
volatile std::sig_atomic_t reread_asked = 0;

void install(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags | SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

RunSignals::RunSignals() {
  stop_signal = 0;
  reread_asked = 0;
  for (const int signal : {SIGINT, SIGTERM}) {
    // RESETHAND: the second signal meets the default action, for those who won't wait.
    install(
        signal, [](int received) { stop_signal = received; }, SA_RESETHAND);
  }
  install(SIGUSR1, [](int) { reread_asked = 1; });
}

RunSignals::~RunSignals() {
  for (const int signal : {SIGINT, SIGTERM}) install(signal, SIG_DFL);
  install(SIGUSR1, SIG_IGN);
}

int RunSignals::stop() const { return stop_signal; }

bool RunSignals::take_reread() const {
  const bool asked = reread_asked != 0;
  if (asked) reread_asked = 0;
  return asked;
}

}  // namespace ingot
