#include "engine/run_signals.h"

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

}  // namespace

RunSignals::RunSignals() {
  stop_signal = 0;
  reread_asked = false;
  for (const int signal : {SIGINT, SIGTERM}) {
    // RESETHAND: the second signal meets the default action, for those who won't wait.
    install(
        signal, [](int received) { stop_signal = received; }, SA_RESETHAND);
  }
  install(SIGUSR1, [](int) { reread_asked = true; });
}

RunSignals::~RunSignals() {
  for (const int signal : {SIGINT, SIGTERM}) install(signal, SIG_DFL);
  install(SIGUSR1, SIG_IGN);
}

int RunSignals::stop() const { return stop_signal; }

bool RunSignals::take_reread() const { return reread_asked.exchange(false); }

}  // namespace ingot
