// The first and only process of the simulated machine of check_avx512.sh: runs the command lines in
// /jobs, one after the other, with their output on the serial console, and switches the machine
// off.
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

int run(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(&word[0]);
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

int main() {
  mount("none", "/proc", "proc", 0, nullptr);
  std::ifstream processor("/proc/cpuinfo");
  for (std::string line; std::getline(processor, line) && !line.empty();) {
    if (line.rfind("model name", 0) == 0 || line.rfind("flags", 0) == 0) {
      std::cout << line << std::endl;
    }
  }
  bool passed = true;
  std::ifstream jobs("/jobs");
  for (std::string line; std::getline(jobs, line);) {
    if (line.empty()) continue;
    std::cout << "+ " << line << std::endl;
    const int status = run(line);
    if (status != 0) std::cout << "wait status " << status << std::endl;
    passed = passed && status == 0;
  }
  std::cout << (passed ? "ALL PASSED" : "SOME FAILED") << std::endl;
  tcdrain(STDOUT_FILENO);
  sleep(1);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
