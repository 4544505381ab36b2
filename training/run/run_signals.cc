#include "training/run/run_signals.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace ingot {
namespace {

// Atomic, not sig_atomic_t: a signal interrupts any thread, often not the one that looks.
std::atomic<int> stop_signal = 0;
std::atomic<bool> reread_asked = false;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void install(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags | SA_RESTART;
  sigaction(signal, &action, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void ask_to_stop(int received) { stop_signal = received; }

}  // namespace

RunSignals::RunSignals() {
  stop_signal = 0;
  reread_asked = false;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (signal != SIGTERM && is_ignored(signal)) continue;
    // RESETHAND: the second signal meets the default action, for those who won't wait.
    install(signal, ask_to_stop, SA_RESETHAND);
  }
  install(SIGUSR2, ask_to_stop);
  install(SIGPIPE, ask_to_stop);  // comes again with each line that is said
  install(SIGUSR1, [](int) { reread_asked = true; });
}

RunSignals::~RunSignals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(signal)) install(signal, SIG_DFL);
  }
  for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2}) install(signal, SIG_IGN);
}

int RunSignals::stop() const { return stop_signal; }

bool RunSignals::take_reread() const { return reread_asked.exchange(false); }

}  // namespace ingot
