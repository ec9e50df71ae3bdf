// The file store: what goes in comes out, nothing changes it, nothing exceeds the bound.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <thread>
#include <vector>

#include "pool/file_store.h"
#include "tests/values.h"

namespace hatchery {
namespace {

constexpr std::uint64_t kMebi = 1U << 20U;

UniqueFd new_memfd(std::string_view bytes, unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING) {
  UniqueFd memfd(::memfd_create("test", flags));
  EXPECT_EQ(::write(memfd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return memfd;
}

TEST(FileStore, GivesBackAnyBytes) {
  FileStore store(kMebi);
  for (const std::string& bytes :
       {std::string(), std::string("text"), all_bytes(), std::string(500'000, '\0')}) {
    const Result<FileId> id = store.put(bytes);
    ASSERT_TRUE(id) << id.error().message();
    const Result<std::string> read = store.read(*id);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_TRUE(*read == bytes);
  }
  EXPECT_EQ(store.count(), 4U);
  EXPECT_EQ(store.bytes(), 4 + 256 + 500'000U);
}

TEST(FileStore, IdsAre32HexadecimalDigitsAndDiffer) {
  FileStore store(kMebi);
  std::set<FileId> ids;
  for (int round = 0; round < 100; ++round) {
    const Result<FileId> id = store.put("x");
    ASSERT_TRUE(id);
    EXPECT_EQ(id->size(), 32U);
    EXPECT_EQ(id->find_first_not_of("0123456789abcdef"), std::string::npos) << *id;
    ids.insert(*id);
  }
  EXPECT_EQ(ids.size(), 100U);
}

TEST(FileStore, OpenedDescriptorsAreReadOnlyAndHaveTheirOwnOffset) {
  FileStore store(kMebi);
  const Result<FileId> id = store.put("abc");
  ASSERT_TRUE(id);
  const Result<UniqueFd> first = store.open(*id);
  const Result<UniqueFd> second = store.open(*id);
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_TRUE(second);
  char byte = 0;
  EXPECT_EQ(::read(first->get(), &byte, 1), 1);
  EXPECT_EQ(::lseek(second->get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(::write(first->get(), "z", 1), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(::fcntl(first->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(FileStore, NobodyCanChangeAStoredFile) {
  FileStore store(kMebi);
  UniqueFd memfd = new_memfd("abc");
  const UniqueFd kept(::fcntl(memfd.get(), F_DUPFD_CLOEXEC, 0));
  const Result<FileId> id = store.adopt(std::move(memfd));
  ASSERT_TRUE(id) << id.error().message();
  EXPECT_EQ(::pwrite(kept.get(), "z", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(kept.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(kept.get(), 100), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::mmap(nullptr, 3, PROT_WRITE, MAP_SHARED, kept.get(), 0), MAP_FAILED);
  EXPECT_EQ(*store.read(*id), "abc");
}

TEST(FileStore, AdoptsAnAlreadySealedMemfd) {
  FileStore store(kMebi);
  UniqueFd memfd = new_memfd("abc");
  ASSERT_EQ(
      ::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
      0);
  const Result<FileId> id = store.adopt(std::move(memfd));
  ASSERT_TRUE(id) << id.error().message();
  EXPECT_EQ(*store.read(*id), "abc");
}

TEST(FileStore, RefusesDescriptorsThatCantBeSealed) {
  FileStore store(kMebi);
  const Result<FileId> unsealable = store.adopt(new_memfd("abc", MFD_CLOEXEC));
  ASSERT_FALSE(unsealable);
  EXPECT_EQ(unsealable.error().errnum, EPERM);
  const Result<FileId> not_memfd = store.adopt(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  ASSERT_FALSE(not_memfd);
  EXPECT_EQ(not_memfd.error().errnum, EINVAL);
  const Result<FileId> nothing = store.adopt(UniqueFd());
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().errnum, EBADF);
  EXPECT_EQ(store.count(), 0U);
}

TEST(FileStore, RefusesAMemfdThatIsMappedWritable) {
  FileStore store(kMebi);
  UniqueFd memfd = new_memfd("abc");
  void* mapping = ::mmap(nullptr, 3, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
  ASSERT_NE(mapping, MAP_FAILED);
  const Result<FileId> id = store.adopt(std::move(memfd));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().errnum, EBUSY);
  ::munmap(mapping, 3);
}

TEST(FileStore, HoldsUpToItsBoundAndNotAByteMore) {
  FileStore store(10);
  const Result<FileId> first = store.put("123456");
  ASSERT_TRUE(first);
  const Result<FileId> too_much = store.put("12345");
  ASSERT_FALSE(too_much);
  EXPECT_EQ(too_much.error().errnum, ENOSPC);
  EXPECT_NE(too_much.error().message().find("store_bytes_max"), std::string::npos);
  EXPECT_FALSE(store.adopt(new_memfd("12345")));
  EXPECT_TRUE(store.put("1234"));
  EXPECT_TRUE(store.put(""));
  EXPECT_FALSE(store.put("1"));
  EXPECT_TRUE(store.remove(*first));
  EXPECT_EQ(store.bytes(), 4U);
  EXPECT_TRUE(store.put("12345"));
}

TEST(FileStore, CountsHolesOfASparseFile) {
  FileStore store(kMebi);
  UniqueFd memfd = new_memfd("");
  ASSERT_EQ(::ftruncate(memfd.get(), 1LL << 40), 0);
  const Result<FileId> id = store.adopt(std::move(memfd));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().errnum, ENOSPC);
}

TEST(FileStore, UnknownAndIllFormedIdsAreNotThere) {
  FileStore store(kMebi);
  const Result<FileId> id = store.put("abc");
  ASSERT_TRUE(id);
  for (const FileId& bad : {FileId(), FileId("../../etc/passwd"), FileId(32, '0'), *id + "0",
                            FileId(100'000, 'a'), FileId("\0x", 2)}) {
    const Result<UniqueFd> fd = store.open(bad);
    ASSERT_FALSE(fd);
    EXPECT_EQ(fd.error().errnum, ENOENT);
    EXPECT_LT(fd.error().message().size(), 400U);
    EXPECT_FALSE(store.remove(bad));
  }
}

TEST(FileStore, AnOpenDescriptorOutlivesTheFile) {
  FileStore store(kMebi);
  const Result<FileId> id = store.put("abc");
  const Result<UniqueFd> fd = store.open(*id);
  ASSERT_TRUE(fd);
  EXPECT_TRUE(store.remove(*id));
  EXPECT_FALSE(store.remove(*id));
  EXPECT_EQ(store.count(), 0U);
  char buffer[4] = {};
  EXPECT_EQ(::read(fd->get(), buffer, sizeof buffer), 3);
  EXPECT_STREQ(buffer, "abc");
}

TEST(FileStore, ManyThreadsShareOne) {
  FileStore store(kMebi);
  std::vector<std::thread> threads;
  for (int index = 0; index < 4; ++index) {
    threads.emplace_back([&store, index] {
      for (int round = 0; round < 100; ++round) {
        const std::string bytes(static_cast<std::size_t>(index + 1),
                                static_cast<char>('a' + index));
        const Result<FileId> id = store.put(bytes);
        ASSERT_TRUE(id);
        EXPECT_EQ(*store.read(*id), bytes);
        EXPECT_TRUE(store.remove(*id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store.bytes(), 0U);
}

}  // namespace
}  // namespace hatchery
