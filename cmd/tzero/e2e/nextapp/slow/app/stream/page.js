import { Suspense } from "react";

export const dynamic = "force-dynamic";

async function Part({ ms }) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return <p id={`part-${ms}`}>This part took {ms} ms.</p>;
}

// The head is sent at once, each part when it is ready: a gateway that waits for the whole is seen.
export default function Page() {
  return (
    <main>
      <h1>In parts</h1>
      {[500, 1500].map((ms) => (
        <Suspense key={ms} fallback={<p>Not there yet.</p>}>
          <Part ms={ms} />
        </Suspense>
      ))}
    </main>
  );
}
