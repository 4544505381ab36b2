// The queues of the CPU: compute is the caller's thread; every other queue that is used has a
// thread of its own.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backends/cpu/queue_thread.h"
#include "engine/execution/backend.h"
#include "io/file_descriptor.h"

namespace ingot::cpu {

class CpuQueues : public Queues {
 public:
  explicit CpuQueues(std::span<const int> starts);

  Ticket enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                 const Turn& turn) override;
  void upload(Range to, std::span<const std::byte> bytes) override;
  void await(Ticket ticket) override { threads_[ticket.queue]->wait(ticket.number); }
  void synchronize() override;

  void reserve_marks(std::size_t count) override;
  void mark(Queue queue, std::size_t slot) override;
  double seconds(std::size_t from, std::size_t to) const override;
  // The caller's thread hardly waited for a core.
  bool quiet(std::size_t from, std::size_t to) const override;

 private:
  // How long the caller's thread has waited for a core since it began; 0 where the system does not
  // tell.
  double seconds_without_a_core() const;

  std::vector<std::unique_ptr<QueueThread>> threads_;  // by queue; none: nothing is given
  std::vector<Stamp> stamps_;                          // by slot
  FileDescriptor scheduler_;                           // what the system tells of this thread
};

}  // namespace ingot::cpu
